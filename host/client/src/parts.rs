//! Parts of the command for those who have models of their own at hand: tensors from arguments, tensors as text, one request.

use std::time::Duration;

use nereid_inference::{IndexEntry, ModelState, NamedTensor, Signature, TensorSpec};
use nereid_tensor::Tensor;

use crate::{
    arguments::InputArgument,
    connection::{Answer, Connection, InferCall},
    description::{Description, TensorDescription, dims_text},
    destination::Destination,
    elements,
    error::ClientError,
    inputs::{self, InputArguments},
    output,
    picture::Scale,
};

/// A server whose models are called with tensors that fit them already.
pub struct RemoteModels {
    connection: Connection,
}

// === impl RemoteModels ===

impl RemoteModels {
    /// Over gRPC connects; over HTTP the first call does.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn open(destination: &Destination, timeout: Duration) -> Result<Self, ClientError> {
        Ok(Self { connection: Connection::open(destination, timeout).await? })
    }

    /// The outputs of every response of the model to one request; `wanted` outputs, or all when it names none.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses the request.
    pub async fn infer(
        &self,
        (model, version): (&str, Option<u64>),
        inputs: &[NamedTensor],
        wanted: &[String],
    ) -> Result<Vec<Vec<NamedTensor>>, ClientError> {
        let description = self.connection.describe(model, version).await?;
        let call = InferCall { model, version, inputs, outputs: wanted, classes: None };
        let mut responses = Vec::new();
        let mut each = |answer: Answer| {
            responses.push(answer.outputs);
            Ok(())
        };
        self.connection.infer(&call, &description, &mut each).await?;
        Ok(responses)
    }

    /// The models that the server knows, with their states.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses to say.
    pub async fn index(&self) -> Result<Vec<IndexEntry>, ClientError> {
        match &self.connection {
            Connection::Http(client) => client.index().await,
            Connection::Grpc(client) => client.index().await,
        }
    }

    /// Loads a model, with this configuration as JSON when there is one.
    ///
    /// # Errors
    /// The server cannot be reached, or does not load it.
    pub async fn load(&self, model: &str, config: Option<String>) -> Result<(), ClientError> {
        match &self.connection {
            Connection::Http(client) => client.load(model, config).await,
            Connection::Grpc(client) => client.load(model, config).await,
        }
    }

    /// Unloads a model, and with `dependents` what only it needed.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn unload(&self, model: &str, dependents: bool) -> Result<(), ClientError> {
        match &self.connection {
            Connection::Http(client) => client.unload(model, dependents).await,
            Connection::Grpc(client) => client.unload(model, dependents).await,
        }
    }
}

/// The tensors that arguments mean for a model of that signature.
///
/// # Errors
/// An input that the model does not have, or a value that does not fit. Inputs that are missing are not this one's matter.
pub fn inputs_of(signature: &Signature, arguments: &[InputArgument]) -> Result<Vec<NamedTensor>, ClientError> {
    let has_batching = signature.max_batch_size > 0;
    let describe = |spec: &TensorSpec| TensorDescription {
        name: spec.name.to_string(),
        data_type: spec.data_type,
        dims: has_batching.then_some(-1).into_iter().chain(spec.dims.iter().copied()).collect(),
        layout: None,
        // Whoever asks has the others from elsewhere, or is told by the model.
        is_optional: true,
    };
    let description = Description {
        name: signature.model_name.to_string(),
        inputs: signature.inputs.iter().map(describe).collect(),
        outputs: signature.outputs.iter().map(describe).collect(),
        has_batching,
        is_decoupled: false,
    };
    inputs::build(InputArguments { inputs: arguments, shapes: &[], scale: Scale::None }, &description)
}

/// A row of a server's index. What is not known, an older server's word for example, is left out.
pub(crate) fn index_entry(name: String, version: &str, state: &str, reason: String) -> IndexEntry {
    let states = [ModelState::Ready, ModelState::Unavailable, ModelState::Loading, ModelState::Unloading];
    let state = states.into_iter().find(|known| known.name() == state);
    IndexEntry { name, version: version.parse().ok(), state, reason }
}

/// Type and shape: `FP32 [1,3]`.
pub fn tensor_head(tensor: &Tensor) -> String {
    format!("{} {}", tensor.data_type(), dims_text(tensor.shape()))
}

/// The elements for the eye: all of a few, of many the first and their spread.
pub fn tensor_text(tensor: &Tensor) -> String {
    output::shown(tensor)
}

/// Every element as text: numbers so that they read back as themselves, texts in quotes.
pub fn element_texts(tensor: &Tensor) -> Vec<String> {
    elements::numbers(tensor).unwrap_or_else(|| elements::json(tensor).iter().map(ToString::to_string).collect())
}
