//! A tokenizer of a granted folder, opened in both ways, and what it makes of two texts.

use nereid_sdk::{
    Error, files, operations,
    tokenizers::{Encode, Tokenizer, TokenizerOptions},
};

use crate::{reach::refused, work::shown};

pub(crate) fn all() -> Result<String, Error> {
    let texts = operations::from_texts(&[2], &["cat dog", "dog bird"].map(str::to_owned))?;
    let tokenizer = Tokenizer::open("/scratch/tokenizer.json", TokenizerOptions::default())?;
    let dog = tokenizer.token_id("dog").unwrap_or_default();
    let (known, cat) = (tokenizer.token_id("bird").is_some(), tokenizer.token(1).unwrap_or_default());
    let three = tokenizer.encode(&texts, None, Encode { length: Some(3), ..Encode::default() })?;
    let pairs = tokenizer.encode(&texts, Some(&texts), Encode { special_tokens: false, ..Encode::default() })?;
    let plain = tokenizer.encode(&texts, None, Encode::default())?;
    let words = operations::texts(&tokenizer.decode(&plain.ids, true)?)?;
    let options = TokenizerOptions { max_length: Some(1), cut_beginning: true };
    let cutting = Tokenizer::from_bytes(&files::read("/scratch/tokenizer.json")?, options)?;
    let cut = cutting.encode(&texts, None, Encode::default())?;
    let other = Tokenizer::open("/scratch/other.json", TokenizerOptions::default());
    Ok([
        format!("size {} {dog} {known} {cat}", tokenizer.vocabulary_size()),
        shown("ids", &three.ids)?,
        shown("mask", &three.mask)?,
        shown("types", &pairs.type_ids)?,
        format!("decoded {}", words.join("|")),
        shown("cut", &cut.ids)?,
        format!("refused {}", refused(other)),
    ]
    .join("\n"))
}
