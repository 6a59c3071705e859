//! Encodes texts with a tokenizer of a folder that it was granted, once opened and kept, and decodes what it encoded. The
//! request's parameter `open` opens other files, which is how tests see what is refused; `many` opens so many.

use nereid_sdk::{
    Error, Inputs, Request, Response, Tensor, Transform, export_transform, files, setting_or,
    tokenizers::{Encode, Tokenizer, TokenizerOptions},
};

struct Tokens {
    tokenizer: Tokenizer,
}

impl Transform for Tokens {
    fn new() -> Result<Self, Error> {
        let max_length = setting_or("max_length", 16)?;
        let options = TokenizerOptions { max_length: Some(max_length), ..Default::default() };
        Ok(Self { tokenizer: Tokenizer::open("/model/tokenizer.json", options)? })
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        if let Some(path) = request.parameter("open").and_then(|path| path.as_text().map(str::to_owned)) {
            Tokenizer::open(&path, TokenizerOptions::default())?;
        }
        let many = request.parameter("many").and_then(|count| count.as_i64()).unwrap_or_default();
        let definition = if many > 0 { files::read("/model/tokenizer.json")? } else { Vec::new() };
        let opened: Result<Vec<Tokenizer>, Error> =
            (0..many).map(|_| Tokenizer::from_bytes(&definition, TokenizerOptions::default())).collect();
        opened?;
        let length = request.parameter("length").and_then(|length| length.as_i64());
        let encode = Encode { length: length.map(|length| length as u32), ..Encode::default() };
        let encoded = self.tokenizer.encode(inputs.tensor("TEXT")?, None, encode)?;
        let decoded = self.tokenizer.decode(&encoded.ids, true)?;
        let size = Tensor::from_elements(&[1], &[i64::from(self.tokenizer.vocabulary_size())])?;
        let response = Response::new().output("IDS", encoded.ids).output("MASK", encoded.mask);
        Ok(response.output("DECODED", decoded).output("SIZE", size))
    }
}

export_transform!(Tokens);
