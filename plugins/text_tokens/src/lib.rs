//! Texts in, the rows of token numbers that language models take out.
//!
//! Input `text`: BYTES `[n, 1]`; `pair`, optional, of as many texts: each is encoded together with its text, as rerankers take them.
//! Outputs, all INT64 `[n, length]`: `input_ids`, `attention_mask` (1 for a token, 0 for padding) and `token_type_ids`. A text
//! that is not UTF-8 is the error of its request, and says which row it is.
//!
//! Settings: `tokenizer` (`/data/tokenizer.json`), the file in a folder that `plugin.toml` grants; `max_length`, tokens beyond which a
//! text is cut (what the file says); `cut_beginning` (`false`), a cut text keeps its end; `special_tokens` (`true`), with those that
//! mark beginning and end; `length`, see [`rows::Length`]; `prompt.NAME`, what stands in front of every `text` of requests whose parameter
//! `prompt` is that name, `prompt.default` of those that have none.
//!
//! Costs: the host reads the file once for all instances, and encodes; no text and no number comes into the plugin's memory, but
//! texts that get a prompt, and the mask where `length` is `longest`.

mod prompts;
mod rows;

use nereid_sdk::{
    Error, Inputs, Request, Response, Tensor, Transform, export_transform, operations, setting, setting_or, settings,
    tokenizers::{Encode, Encoded, Tokenizer, TokenizerOptions},
};

use crate::{
    prompts::{Prompts, prefixed},
    rows::{Length, check_texts, used_columns},
};

const TOKENIZER: &str = "/data/tokenizer.json";

struct TextTokens {
    tokenizer: Tokenizer,
    encode: Encode,
    length: Length,
    prompts: Prompts,
}

// === impl TextTokens ===

impl Transform for TextTokens {
    fn new() -> Result<Self, Error> {
        let max_length = setting("max_length").map(|_| setting_or("max_length", 0)).transpose()?;
        let length = Length::parse(setting("length").as_deref(), max_length)?;
        let options = TokenizerOptions { max_length, cut_beginning: setting_or("cut_beginning", false)? };
        let path = setting("tokenizer").unwrap_or_else(|| TOKENIZER.to_owned());
        let encode = Encode { special_tokens: setting_or("special_tokens", true)?, length: length.fixed() };
        Ok(Self { tokenizer: Tokenizer::open(&path, options)?, encode, length, prompts: Prompts::new(settings()) })
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let (texts, pairs) = (inputs.tensor("text")?, inputs.optional("pair"));
        check_texts("text", &texts.shape())?;
        let mut named = "input 'text': ";
        if let Some(pairs) = pairs {
            check_texts("pair", &pairs.shape())?;
            named = "inputs 'text' and 'pair': ";
        }
        let texts = match self.prompts.pick(request.parameter("prompt").as_ref())? {
            "" => texts.share(),
            prompt => Tensor::from_blobs(&texts.shape(), &prefixed(prompt, texts.blobs()?))?,
        };
        let encoded = self.tokenizer.encode(&texts, pairs, self.encode).map_err(|error| error.prefixed(named))?;
        let Encoded { ids, mask, type_ids } =
            if self.length == Length::Longest { shortened(encoded)? } else { encoded };
        let response = Response::new().output("input_ids", ids).output("attention_mask", mask);
        Ok(response.output("token_type_ids", type_ids))
    }
}

/// Without the columns in which no row has a token.
fn shortened(encoded: Encoded) -> Result<Encoded, Error> {
    let [_, length] = encoded.mask.shape()[..] else { return Ok(encoded) };
    let used = used_columns(&encoded.mask.elements::<i64>()?, usize::try_from(length)?);
    if used.len() as u64 == length {
        return Ok(encoded);
    }
    let (before, behind) = (u32::try_from(used.start)?, u32::try_from(length)? - u32::try_from(used.end)?);
    let extents = [before, u32::try_from(used.len())?, behind];
    let middle = |tensor: &Tensor| {
        let middle = operations::split(tensor, &extents, -1)?.into_iter().nth(1);
        middle.ok_or_else(|| Error::internal("split gave no middle"))
    };
    Ok(Encoded { ids: middle(&encoded.ids)?, mask: middle(&encoded.mask)?, type_ids: middle(&encoded.type_ids)? })
}

export_transform!(TextTokens);
