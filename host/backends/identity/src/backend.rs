//! Loading: everything that can be wrong with an identity model is found here, none of it later.

use std::{sync::Arc, time::Duration};

use nereid_backend::{Backend, BatchForms, Instance, InstanceSpec, LoadedModel};
use nereid_gpu::Gpus;
use nereid_inference::{InferError, ModelConfig, ModelSource, config::InstanceKind};

use crate::{
    instance::IdentityInstance,
    pairs::{EchoPair, echo_pairs},
};

/// Name and unit as in Triton's identity backend.
const DELAY_PARAMETER: &str = "execute_delay_ms";

/// An hour. A longer delay is a typing error: no client waits for it.
const DELAY_MS_MAX: u64 = 3_600_000;

/// The backend called `identity`.
#[derive(Clone, Debug, Default)]
pub struct IdentityBackend {
    gpus: Gpus,
}

struct IdentityModel {
    gpus: Gpus,
    pairs: Arc<[EchoPair]>,
    delay: Option<Duration>,
}

// === impl IdentityBackend ===

impl IdentityBackend {
    /// Identities that instances of `KIND_GPU` put onto these devices.
    pub fn new(gpus: Gpus) -> Self {
        Self { gpus }
    }
}

impl Backend for IdentityBackend {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn default_model_filename(&self) -> &'static str {
        ""
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        Ok(source.config.clone())
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        BatchForms::refuse_batch_tensors(&source.config, self.name())?;
        let pairs = echo_pairs(&source.config)?.into();
        Ok(Arc::new(IdentityModel { gpus: self.gpus.clone(), pairs, delay: execute_delay(&source.config)? }))
    }

    /// One response is a number of responses, too.
    fn supports_decoupled(&self) -> bool {
        true
    }
}

// === impl IdentityModel ===

impl LoadedModel for IdentityModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        let gpu = match spec.kind {
            InstanceKind::Gpu => Some(self.gpus.get(spec.device_id).cloned().ok_or_else(|| {
                let InstanceSpec { name, device_id, .. } = spec;
                InferError::unsupported(format!(
                    "instance '{name}' is of KIND_GPU, and there is no GPU {device_id} here"
                ))
            })?),
            InstanceKind::Auto | InstanceKind::Cpu | InstanceKind::Model => None,
        };
        let instance = IdentityInstance { pairs: self.pairs.clone(), delay: self.delay, gpu };
        Ok(Instance::Task(Box::new(instance)))
    }
}

fn execute_delay(model_config: &ModelConfig) -> Result<Option<Duration>, InferError> {
    let Some(text) = model_config.parameter(DELAY_PARAMETER) else { return Ok(None) };
    match text.trim().parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(delay_ms) if delay_ms <= DELAY_MS_MAX => Ok(Some(Duration::from_millis(delay_ms))),
        _ => Err(InferError::invalid_argument(format!(
            "model '{}': parameter '{DELAY_PARAMETER}' is '{text}', expected whole milliseconds from 0 to {DELAY_MS_MAX}",
            model_config.name
        ))),
    }
}

#[cfg(test)]
mod tests;
