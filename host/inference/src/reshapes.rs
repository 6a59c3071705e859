//! The two forms of a tensor with a `reshape`: the one that clients send and read, and the one that the backend sees.
//!
//! Promises: elements stay where they are, a reshape is a view. The batch dimension is kept in front; open dimensions of
//! both forms stand for each other in order, as in Triton. An output that does not have the form that the configuration
//! declares becomes an error that shows both. A model without reshapes has none of this, and pays a branch.

use std::sync::Arc;

use nereid_tensor::Shape;

use crate::{CheckedRequest, InferError, InferResponse, ModelConfig, NamedTensor, config::Reshape};

/// All reshapes of one model.
#[derive(Debug)]
pub struct Reshapes {
    model_name: Arc<str>,
    /// Whether tensors have a batch dimension.
    batched: bool,
    inputs: Vec<Reshaping>,
    outputs: Vec<Reshaping>,
}

/// One tensor's dims before and after, without the batch dimension.
#[derive(Debug)]
struct Reshaping {
    name: Arc<str>,
    from: Vec<i64>,
    to: Vec<i64>,
}

// === impl Reshapes ===

impl Reshapes {
    /// The reshapes that a configuration declares; `None` when there is none.
    pub fn of(config: &ModelConfig) -> Option<Arc<Self>> {
        let reshaping = |name: &str, from: &[i64], to: &[i64]| Reshaping {
            name: name.into(),
            from: from.to_vec(),
            to: to.to_vec(),
        };
        let inputs = config.inputs.iter().filter_map(|input| {
            let Reshape { shape } = input.reshape.as_ref()?;
            Some(reshaping(&input.name, &input.dims, shape))
        });
        let outputs = config.outputs.iter().filter_map(|output| {
            let Reshape { shape } = output.reshape.as_ref()?;
            Some(reshaping(&output.name, shape, &output.dims))
        });
        let reshapes = Self {
            model_name: config.name.as_str().into(),
            batched: config.has_batching(),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
        };
        let is_empty = reshapes.inputs.is_empty() && reshapes.outputs.is_empty();
        (!is_empty).then(|| Arc::new(reshapes))
    }

    /// Gives a client's request the form that the backend sees.
    ///
    /// # Errors
    /// Dims and reshape of an input do not hold the same number of elements, which no valid configuration says.
    pub fn to_backend(&self, request: &mut CheckedRequest) -> Result<(), InferError> {
        self.apply("input", &self.inputs, request.inputs_mut())
    }

    /// Gives a backend's response the form that clients see.
    ///
    /// # Errors
    /// `Internal`: an output has another shape than the configuration declares.
    pub fn to_client(&self, response: &mut InferResponse) -> Result<(), InferError> {
        self.apply("output", &self.outputs, &mut response.outputs)
    }

    /// As [`Self::to_client`], for an answer that may be an error already.
    pub(crate) fn settle(&self, result: &mut Result<InferResponse, InferError>) {
        if let Ok(response) = result
            && let Err(error) = self.to_client(response)
        {
            *result = Err(error);
        }
    }

    fn apply(&self, kind: &str, reshapings: &[Reshaping], tensors: &mut [NamedTensor]) -> Result<(), InferError> {
        for NamedTensor { name, tensor } in tensors {
            let Some(reshaping) = reshapings.iter().find(|reshaping| reshaping.name == *name) else { continue };
            let shape = reshaping.translate(tensor.shape(), self.batched);
            let reshaped = shape.and_then(|shape| tensor.reshaped(shape).ok());
            *tensor = reshaped.ok_or_else(|| self.does_not_fit(kind, reshaping, tensor.shape()))?;
        }
        Ok(())
    }

    fn does_not_fit(&self, kind: &str, reshaping: &Reshaping, shape: &Shape) -> InferError {
        let dims = self.batched.then_some(&-1).into_iter().chain(&reshaping.from);
        let dims: Vec<String> = dims.map(i64::to_string).collect();
        InferError::internal(format!(
            "model '{}': {kind} '{}' has shape {shape}, but the configuration reshapes it from [{}]",
            self.model_name,
            reshaping.name,
            dims.join(",")
        ))
    }
}

// === impl Reshaping ===

impl Reshaping {
    /// A shape that fits `from` as the one that fits `to`; `None` for one that does not fit.
    fn translate(&self, shape: &Shape, batched: bool) -> Option<Shape> {
        let (rows, inner) = match batched {
            true => (Some(*shape.first()?), shape.inner()),
            false => (None, &**shape),
        };
        let fits = |(dim, extent): (&i64, &u64)| *dim == -1 || u64::try_from(*dim) == Ok(*extent);
        if self.from.len() != inner.len() || !self.from.iter().zip(inner).all(fits) {
            return None;
        }
        let mut open = self.from.iter().zip(inner).filter(|(dim, _)| **dim == -1).map(|(_, extent)| *extent);
        let translated = self.to.iter().map(|dim| u64::try_from(*dim).ok().or_else(|| open.next()));
        rows.map(Some).into_iter().chain(translated).collect()
    }
}

#[cfg(test)]
mod tests;
