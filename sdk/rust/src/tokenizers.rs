//! Texts to the numbers that language models read, and back: `tokenizer.json` files, read by the host.
//!
//! ```no_run
//! use nereid_sdk::{Error, Inputs, tokenizers::{Encode, Encoded, Tokenizer, TokenizerOptions}};
//!
//! /// Where a model's own folder is granted as `/model` in `plugin.toml`; once, in `new`.
//! fn open() -> Result<Tokenizer, Error> {
//!     Tokenizer::open("/model/tokenizer.json", TokenizerOptions { max_length: Some(128), ..Default::default() })
//! }
//!
//! fn encode(tokenizer: &Tokenizer, inputs: &Inputs) -> Result<Encoded, Error> {
//!     tokenizer.encode(inputs.tensor("TEXT")?, None, Encode::default())
//! }
//! ```
//!
//! A tokenizer may be kept between calls. What one instance read, the others find.

use crate::{
    Error, Tensor, Value,
    bindings::nereid::plugin::{tokenizers as host, types::Parameter},
};

/// A vocabulary, and the rules that cut texts into its tokens.
#[derive(Debug)]
pub struct Tokenizer(host::Tokenizer);

/// How a tokenizer is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerOptions {
    /// Tokens of a row, special ones included, beyond which a text is cut; the file's own limit unless given.
    pub max_length: Option<u32>,
    /// A text that is cut keeps its end.
    pub cut_beginning: bool,
}

/// How texts are encoded.
#[derive(Clone, Copy, Debug)]
pub struct Encode {
    /// With the tokens that mark beginning, end and parts.
    pub special_tokens: bool,
    /// Every row has so many tokens; the longest, or what the file says, unless given.
    pub length: Option<u32>,
}

/// What texts become: a row for each, INT64 `[texts, length]`.
#[derive(Debug)]
pub struct Encoded {
    /// Numbers of the tokens.
    pub ids: Tensor,
    /// 1 for a token, 0 for padding.
    pub mask: Tensor,
    /// 0 for the first text, 1 for the second of a pair.
    pub type_ids: Tensor,
}

impl Default for Encode {
    fn default() -> Self {
        Self { special_tokens: true, length: None }
    }
}

// === impl Tokenizer ===

impl Tokenizer {
    /// From a file in a folder that the plugin was granted.
    ///
    /// # Errors
    /// The file cannot be read, or is no `tokenizer.json`.
    pub fn open(path: &str, options: TokenizerOptions) -> Result<Self, Error> {
        Ok(Self(host::Tokenizer::open(path, &options.to_host())?))
    }

    /// From the bytes of such a file, which may be part of the plugin: `include_bytes!`.
    ///
    /// # Errors
    /// They are no `tokenizer.json`.
    pub fn from_bytes(definition: &[u8], options: TokenizerOptions) -> Result<Self, Error> {
        Ok(Self(host::Tokenizer::from_bytes(definition, &options.to_host())?))
    }

    /// How many tokens there are, added ones included.
    pub fn vocabulary_size(&self) -> u32 {
        self.0.vocabulary_size()
    }

    /// The number of a token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.0.token_id(token)
    }

    /// The token of a number.
    pub fn token(&self, id: u32) -> Option<String> {
        self.0.token(id)
    }

    /// Every element of a `BYTES` tensor; with `pairs`, an element of each together.
    ///
    /// # Errors
    /// Not `BYTES`, not UTF-8, or rows longer than the length asked for.
    pub fn encode(&self, texts: &Tensor, pairs: Option<&Tensor>, encode: Encode) -> Result<Encoded, Error> {
        let mut options = vec![option("special-tokens", encode.special_tokens)];
        options.extend(encode.length.map(|length| option("length", i64::from(length))));
        let encoding = self.0.encode(texts.handle(), pairs.map(Tensor::handle), &options)?;
        Ok(Encoded {
            ids: Tensor::unnamed(encoding.ids),
            mask: Tensor::unnamed(encoding.mask),
            type_ids: Tensor::unnamed(encoding.type_ids),
        })
    }

    /// The texts of rows of token numbers, whole numbers along the innermost axis; `skip_special` leaves out what only marks.
    ///
    /// # Errors
    /// Numbers that are not whole, negative, or beyond 32 bits.
    pub fn decode(&self, ids: &Tensor, skip_special: bool) -> Result<Tensor, Error> {
        Ok(Tensor::unnamed(self.0.decode(ids.handle(), &[option("skip-special", skip_special)])?))
    }
}

// === impl TokenizerOptions ===

impl TokenizerOptions {
    fn to_host(self) -> Vec<Parameter> {
        let mut options = vec![option("cut-beginning", self.cut_beginning)];
        options.extend(self.max_length.map(|length| option("max-length", i64::from(length))));
        options
    }
}

fn option(name: &str, value: impl Into<Value>) -> Parameter {
    Parameter { name: name.to_owned(), value: value.into() }
}
