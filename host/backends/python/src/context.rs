//! What all instances of one version share: who they are, whom they may ask, and the limits.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use nereid_inference::{
    CheckedRequest, ControlHandle, InferError, InferResponse, ModelConfig, ModelIdentity, NamedTensor, ServiceHandle,
    Signature,
};
use nereid_telemetry::ModelMeters;
use nereid_tensor::Buffer;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    launch::Launch,
    limits::PythonLimits,
    messages::{self, ResponseRow},
    payload,
};

/// One version of a Python model.
#[derive(Debug)]
pub(crate) struct ModelContext {
    pub(crate) identity: ModelIdentity,
    pub(crate) config: ModelConfig,
    pub(crate) signature: Signature,
    /// The model's directory, which `initialize` is told as `model_repository`.
    pub(crate) model_directory: PathBuf,
    /// The version's directory, which `pb_utils.get_model_dir` gives.
    pub(crate) version_directory: PathBuf,
    /// `model.py`: there, or in the folder of a Python-based backend.
    pub(crate) file: PathBuf,
    pub(crate) launch: Launch,
    pub(crate) limits: PythonLimits,
    pub(crate) service: ServiceHandle,
    pub(crate) control: ControlHandle,
    pub(crate) meters: Arc<ModelMeters>,
    /// Where calls of other models run; there is none where models are only checked.
    pub(crate) runtime: Option<Handle>,
    /// Outputs whose types differ from the configuration: told once.
    pub(crate) told: Mutex<BTreeSet<String>>,
}

// === impl ModelContext ===

impl ModelContext {
    /// A response, checked: outputs that the model has, of bytes that fit. Only those are kept that `wants` says.
    ///
    /// Types and shapes that differ from the configuration pass, as they do in Triton: clients see what was made. Types are
    /// told in the log.
    pub(crate) fn response(
        &self,
        row: ResponseRow,
        bytes: &Buffer,
        wants: impl Fn(&str) -> bool,
    ) -> Result<InferResponse, InferError> {
        if let Some(error) = row.e {
            return Err(messages::error_of(error));
        }
        let outputs = payload::tensors(row.o, bytes)
            .map_err(|error| InferError::internal(format!("model '{}' answered with {error}", self.identity.name)))?;
        for output in &outputs {
            self.check(output)?;
        }
        let outputs = outputs.into_iter().filter(|output| wants(&output.name)).collect();
        Ok(InferResponse { outputs, parameters: messages::parameters(row.p) })
    }

    /// As [`ModelContext::response`], for a request that is at hand: what the host keeps has the type that it keeps.
    pub(crate) fn answer(
        &self,
        row: ResponseRow,
        bytes: &Buffer,
        request: &CheckedRequest,
    ) -> Result<InferResponse, InferError> {
        let response = self.response(row, bytes, |name| request.wants(name))?;
        for output in response.outputs.iter().filter(|output| request.is_attached(&output.name)) {
            if let Some(spec) = self.signature.output(&output.name)
                && spec.data_type != output.tensor.data_type()
            {
                let (name, expected, found) = (&output.name, spec.data_type, output.tensor.data_type());
                return Err(InferError::internal(format!(
                    "state '{name}' is to be {expected}, and the model gave {found}"
                )));
            }
        }
        Ok(response)
    }

    fn check(&self, output: &NamedTensor) -> Result<(), InferError> {
        let model = &self.identity.name;
        let Some(spec) = self.signature.output(&output.name) else {
            let text = format!("unexpected inference output '{}' for model '{model}'", output.name);
            return Err(InferError::invalid_argument(text));
        };
        let (expected, found) = (spec.data_type, output.tensor.data_type());
        if expected != found && self.told.lock().insert(output.name.to_string()) {
            tracing::warn!(
                "model '{model}': output '{}' is {found}, and its configuration says {expected}; clients get {found}",
                output.name
            );
        }
        Ok(())
    }
}
