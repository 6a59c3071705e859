//! What a model answers.

use nereid_tensor::Tensor;

use crate::{InferError, NamedTensor, Parameters, ResponseOutcome, request::bring_to_host};

/// One response: tensors and parameters. Identity of request and model are the receiver's to add.
#[derive(Clone, Debug, Default)]
pub struct InferResponse {
    pub outputs: Vec<NamedTensor>,
    pub parameters: Parameters,
}

/// One arrival on a response stream.
#[derive(Debug)]
pub struct Delivery {
    /// `None` when only the end is announced.
    pub response: Option<Result<InferResponse, InferError>>,
    /// Nothing follows.
    pub last: bool,
}

// === impl InferResponse ===

impl InferResponse {
    /// A response of tensors alone.
    pub fn new(outputs: Vec<NamedTensor>) -> Self {
        Self { outputs, parameters: Parameters::default() }
    }

    /// Brings outputs that are in memory of a device to the host. Blocks while a device is read.
    ///
    /// # Errors
    /// A device could not be read.
    pub fn bring_to_host(&mut self) -> Result<(), InferError> {
        bring_to_host(&mut self.outputs, "output")
    }

    /// The output called `name`.
    pub fn output(&self, name: &str) -> Option<&Tensor> {
        self.outputs.iter().find(|output| &*output.name == name).map(|output| &output.tensor)
    }
}

// === impl Delivery ===

impl Delivery {
    /// What it counts as.
    pub(crate) fn outcome(&self) -> ResponseOutcome {
        match &self.response {
            Some(Ok(_)) => ResponseOutcome::Success,
            Some(Err(_)) => ResponseOutcome::Failure,
            None => ResponseOutcome::Empty,
        }
    }
}
