//! The vectors of a text's tokens in, one vector for the text out, as `sentence-transformers` makes it.
//!
//! Input `last_hidden_state`: FP32, FP16 or BF16 `[n, length, width]`, what a language model gives. Input `attention_mask`: INT64
//! `[n, length]`, 1 for a token, 0 for padding. Output `embedding`: FP32 `[n, width]`.
//!
//! Settings: `pooling` (`mean`), see [`pool::Pooling`]; `normalise` (`true`): vectors have length one, so that their scalar product
//! is the cosine of their angle. A row without tokens becomes zeroes.
//!
//! Costs: what is read into the plugin's memory is one text's vectors at a time, from its first token to its last; with `cls` and `last`
//! one vector per text.

mod pool;

use nereid_sdk::{
    DataType, Error, Inputs, Request, Response, Tensor, Transform, export_transform,
    operations::{self, Cast},
    setting, setting_or,
};

use crate::pool::{Pooling, check_shapes, normalise};

struct TextPooling {
    pooling: Pooling,
    normalises: bool,
}

// === impl TextPooling ===

impl Transform for TextPooling {
    fn new() -> Result<Self, Error> {
        Ok(Self { pooling: Pooling::parse(setting("pooling").as_deref())?, normalises: setting_or("normalise", true)? })
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let (vectors, mask) = (inputs.tensor("last_hidden_state")?, inputs.tensor("attention_mask")?);
        let [texts, length, width] = check_shapes(&vectors.shape(), &mask.shape())?;
        let vectors = match vectors.data_type() {
            DataType::Fp32 => vectors.share(),
            _ => operations::cast(vectors, DataType::Fp32, Cast::default())?,
        };
        let mask = mask.elements::<i64>()?;
        let mut embeddings = Vec::new();
        for row in 0..texts {
            let mask = mask.get(row * length..(row + 1) * length).unwrap_or_default();
            let embedding = self.embed(&vectors, row * length, mask, width);
            embeddings.extend(embedding.map_err(|error| error.prefixed(format_args!("row {row}: ")))?);
        }
        let embedding = Tensor::from_f32(&[texts as u64, width as u64], &embeddings)?;
        Ok(Response::new().output("embedding", embedding))
    }
}

impl TextPooling {
    /// The vector of one text, whose tokens' vectors begin at number `first`.
    fn embed(&self, vectors: &Tensor, first: usize, mask: &[i64], width: usize) -> Result<Vec<f32>, Error> {
        let needed = self.pooling.needed(mask);
        let (start, shape) = ((first + needed.start) * width, [needed.len() as u64, width as u64]);
        let vectors = if needed.is_empty() { Vec::new() } else { vectors.slice(start as u64, &shape)?.as_f32()? };
        let mut embedding = self.pooling.pool(&vectors, mask.get(needed).unwrap_or_default(), width);
        if self.normalises {
            normalise(&mut embedding);
        }
        match embedding.iter().all(|value| value.is_finite()) {
            true => Ok(embedding),
            false => Err(Error::invalid_argument(
                "input 'last_hidden_state' is not all finite numbers: the model that made it is broken",
            )),
        }
    }
}

export_transform!(TextPooling);
