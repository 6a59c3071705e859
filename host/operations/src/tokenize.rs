//! Texts to the numbers that language models read, and back: Hugging Face's own library reads their `tokenizer.json` files.
//!
//! Rows of a batch are made equally long, as models want them. Costs what the library costs, which reads a file once and then
//! looks words up; not measured here.

use std::fmt;

use nereid_tensor::{DataType, Shape, Tensor};
use tokenizers::{
    EncodeInput, Encoding, PaddingDirection, PaddingParams, PaddingStrategy, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

use crate::{
    Budget, OperationError,
    cast::{CastRules, cast},
    output::{Output, blobs},
    text::expect_bytes,
};

/// Largest `tokenizer.json`; those of large models have twenty.
pub const TOKENIZER_BYTES_MAX: u64 = 32 << 20;

/// Longest text of a batch; a novel.
pub const TOKENIZED_BYTES_MAX: usize = 1 << 20;

/// What a tokenizer is charged, in multiples of its file: vocabulary and merges lie in maps. An estimate, not measured.
pub const TOKENIZER_MEMORY_FACTOR: u64 = 16;

/// Memory that the library needs on the way, in multiples of a text.
const WORKING_MEMORY_FACTOR: u64 = 128;

/// What a row without tokens occupies on the way.
const EMPTY_ROW_BYTES: u64 = 64;

/// A vocabulary, and the rules that cut texts into its tokens.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    padding: PaddingParams,
}

/// How a tokenizer is made of its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenizerOptions {
    /// Tokens of a row, special ones included, beyond which a text is cut; the file's own limit unless given.
    pub length_max: Option<u32>,
    /// The end of a text is kept when it is cut, not the beginning.
    pub cuts_beginning: bool,
}

/// How texts are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// With the tokens that mark beginning, end and parts.
    pub special_tokens: bool,
    /// Every row has so many tokens; as many as the longest, or as the file says, unless given.
    pub length: Option<u32>,
}

/// What texts become; all INT64 `[texts, length]`.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Numbers of the tokens.
    pub ids: Tensor,
    /// 1 for a token, 0 for what only makes rows equally long.
    pub mask: Tensor,
    /// 0 for a first text, 1 for the second of a pair.
    pub type_ids: Tensor,
    /// How many tokens there are in all rows, without what makes them equally long.
    pub token_count: u64,
}

// === impl Tokenizer ===

impl Tokenizer {
    /// From the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// It is too large, or is none.
    pub fn new(definition: &[u8], options: TokenizerOptions, budget: Budget) -> Result<Self, OperationError> {
        const OPERATION: &str = "tokenizer";
        let length = definition.len() as u64;
        if length > TOKENIZER_BYTES_MAX {
            let text = format!("the definition has {length} bytes, expected at most {TOKENIZER_BYTES_MAX}");
            return Err(OperationError::limit(OPERATION, text));
        }
        budget.check(OPERATION, length.checked_mul(TOKENIZER_MEMORY_FACTOR))?;
        let refused = |error: tokenizers::Error| {
            OperationError::argument(OPERATION, format_args!("the definition is no tokenizer.json: {error}"))
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(definition).map_err(refused)?;
        let padding = inner.get_padding().cloned().unwrap_or_default();
        inner.with_padding(None);
        if let Some(truncation) = options.truncation(inner.get_truncation()) {
            let too_short =
                |error: tokenizers::Error| OperationError::argument(OPERATION, format_args!("max-length: {error}"));
            inner.with_truncation(Some(truncation)).map_err(too_short)?;
        }
        Ok(Self { inner, padding })
    }

    /// How many tokens there are, added ones included.
    pub fn vocabulary_size(&self) -> u32 {
        u32::try_from(self.inner.get_vocab_size(true)).unwrap_or(u32::MAX)
    }

    /// The number of a token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of a number.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Every element of a BYTES tensor as a row of token numbers; with `pairs`, an element of each together.
    ///
    /// # Errors
    /// Not BYTES, not UTF-8, a text that is too long, tensors of different counts, or rows longer than asked for.
    pub fn encode(
        &self,
        texts: &Tensor,
        pairs: Option<&Tensor>,
        options: EncodeOptions,
        budget: Budget,
    ) -> Result<Encoded, OperationError> {
        const OPERATION: &str = "encode";
        let inputs = inputs(OPERATION, texts, pairs, budget)?;
        let mut rows = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.into_iter().enumerate() {
            let encoding = match input {
                EncodeInput::Single(_) => self.inner.encode_fast(input, options.special_tokens),
                // The fast way of 0.23 forgets which part of a pair a token is of.
                EncodeInput::Dual(..) => self.inner.encode(input, options.special_tokens),
            };
            let encoding = encoding.map_err(|error| {
                OperationError::argument(OPERATION, format_args!("element {index} cannot be encoded: {error}"))
            });
            rows.push(Row::of(&encoding?));
        }
        self.laid_out(OPERATION, &rows, options, budget)
    }

    /// Rows of equal length, as tensors.
    fn laid_out(
        &self,
        operation: &'static str,
        rows: &[Row],
        options: EncodeOptions,
        budget: Budget,
    ) -> Result<Encoded, OperationError> {
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let length = self.length(longest, options);
        if longest > length {
            let text = format!(
                "a text has {longest} tokens, expected at most the length of {length}: open the tokenizer with max-length"
            );
            return Err(OperationError::argument(operation, text));
        }
        let shape = Shape::new(&[rows.len() as u64, length as u64]);
        let tensor = |part: fn(&Row) -> &[u32], filler: u32| {
            let mut output = Output::new(operation, DataType::Int64, shape.clone(), budget)?;
            for (row, places) in rows.iter().zip(output.elements::<i64>().chunks_exact_mut(length.max(1))) {
                self.write_row(part(row), filler, places);
            }
            output.finish()
        };
        Ok(Encoded {
            ids: tensor(|row| &row.ids, self.padding.pad_id)?,
            mask: tensor(|row| &row.mask, 0)?,
            type_ids: tensor(|row| &row.type_ids, self.padding.pad_type_id)?,
            token_count: rows.iter().map(|row| row.ids.len() as u64).sum(),
        })
    }

    fn length(&self, longest: usize, options: EncodeOptions) -> usize {
        let asked = options.length.map(|length| length as usize);
        asked.unwrap_or_else(|| {
            let wanted = match self.padding.strategy {
                PaddingStrategy::Fixed(length) => longest.max(length),
                PaddingStrategy::BatchLongest => longest,
            };
            match self.padding.pad_to_multiple_of {
                Some(0) | None => wanted,
                // A length that no number holds is refused by the budget.
                Some(multiple) => wanted.checked_next_multiple_of(multiple).unwrap_or(usize::MAX),
            }
        })
    }

    fn write_row(&self, values: &[u32], filler: u32, places: &mut [i64]) {
        places.fill(filler.into());
        let start = match self.padding.direction {
            PaddingDirection::Right => 0,
            PaddingDirection::Left => places.len() - values.len(),
        };
        for (place, value) in places.iter_mut().skip(start).zip(values) {
            *place = (*value).into();
        }
    }

    /// The texts of rows of token numbers, whole numbers of any type along the innermost axis.
    ///
    /// # Errors
    /// No whole numbers, or one that is negative or beyond 32 bits.
    pub fn decode(&self, ids: &Tensor, skip_special: bool, budget: Budget) -> Result<Tensor, OperationError> {
        const OPERATION: &str = "decode";
        let (rows, shape) = rows_of(OPERATION, ids, budget)?;
        let decode = |row: &Vec<u32>| {
            let text = self.inner.decode(row, skip_special);
            text.map_err(|error| OperationError::argument(OPERATION, format_args!("cannot be decoded: {error}")))
        };
        let texts = rows.iter().map(decode).collect::<Result<Vec<String>, _>>()?;
        blobs(OPERATION, shape, &texts, budget)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocabulary_size())
    }
}

// === impl TokenizerOptions ===

impl TokenizerOptions {
    fn truncation(self, of_file: Option<&TruncationParams>) -> Option<TruncationParams> {
        let length_max = self.length_max.map(|length| length as usize);
        let mut truncation = match (of_file, length_max) {
            (Some(of_file), _) => of_file.clone(),
            (None, Some(_)) => TruncationParams { strategy: TruncationStrategy::LongestFirst, ..Default::default() },
            (None, None) => return None,
        };
        truncation.max_length = length_max.unwrap_or(truncation.max_length);
        if self.cuts_beginning {
            truncation.direction = TruncationDirection::Left;
        }
        Some(truncation)
    }
}

/// One encoded text, without what the library knows of it besides.
struct Row {
    ids: Vec<u32>,
    mask: Vec<u32>,
    type_ids: Vec<u32>,
}

impl Row {
    fn of(encoding: &Encoding) -> Self {
        Self {
            ids: encoding.get_ids().to_vec(),
            mask: encoding.get_attention_mask().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
        }
    }
}

fn inputs<'t>(
    operation: &'static str,
    texts: &'t Tensor,
    pairs: Option<&'t Tensor>,
    budget: Budget,
) -> Result<Vec<EncodeInput<'t>>, OperationError> {
    let first = checked_texts(operation, texts, budget)?;
    let Some(pairs) = pairs else { return Ok(first.into_iter().map(EncodeInput::from).collect()) };
    let second = checked_texts(operation, pairs, budget)?;
    if first.len() != second.len() {
        let text = format!("the first tensor has {} texts, the second {}: expected as many", first.len(), second.len());
        return Err(OperationError::argument(operation, text));
    }
    Ok(first.into_iter().zip(second).map(EncodeInput::from).collect())
}

fn checked_texts<'t>(
    operation: &'static str,
    texts: &'t Tensor,
    budget: Budget,
) -> Result<Vec<&'t str>, OperationError> {
    expect_bytes(operation, texts)?;
    let mut checked = Vec::new();
    for (index, element) in texts.byte_strings().enumerate() {
        let length = element.len();
        if length > TOKENIZED_BYTES_MAX {
            let text = format!("element {index} has {length} bytes, expected at most {TOKENIZED_BYTES_MAX}");
            return Err(OperationError::limit(operation, text));
        }
        budget.check(operation, (length as u64).checked_mul(WORKING_MEMORY_FACTOR))?;
        let text = std::str::from_utf8(element).map_err(|error| {
            OperationError::argument(operation, format_args!("element {index} is not UTF-8: {error}"))
        });
        checked.push(text?);
    }
    Ok(checked)
}

/// Token numbers row by row, and the shape of one text per row.
fn rows_of(operation: &'static str, ids: &Tensor, budget: Budget) -> Result<(Vec<Vec<u32>>, Shape), OperationError> {
    let is_whole = !matches!(
        ids.data_type(),
        DataType::Bytes | DataType::Bool | DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64
    );
    let Some((length, outer)) = ids.shape().split_last().filter(|_| is_whole) else {
        let text = format!(
            "the tensor is of {} and shape {}, expected whole numbers of at least one dimension",
            ids.data_type(),
            ids.shape()
        );
        return Err(OperationError::argument(operation, text));
    };
    let shape = Shape::new(outer);
    let length = usize::try_from(*length).unwrap_or(usize::MAX);
    let rules = CastRules { refuse_overflow: true, ..CastRules::default() };
    let numbers = cast(ids, DataType::Uint32, rules, budget)
        .map_err(|_| OperationError::argument(operation, "a token number is negative or beyond 32 bits"))?;
    let numbers = numbers.elements::<u32>().unwrap_or_default();
    if length == 0 {
        let rows = shape.checked_element_count();
        let bytes = budget.check(operation, rows.and_then(|rows| rows.checked_mul(EMPTY_ROW_BYTES)))?;
        return Ok((vec![Vec::new(); bytes / EMPTY_ROW_BYTES as usize], shape));
    }
    Ok((numbers.chunks_exact(length).map(<[u32]>::to_vec).collect(), shape))
}

#[cfg(test)]
mod tests;
