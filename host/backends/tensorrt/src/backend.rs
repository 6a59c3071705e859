//! Loading: the plan is looked at, TensorRT and a device are there, and only then TensorRT is given the plan.

use std::sync::Arc;

use nereid_backend::{Backend, BatchForms, LoadedModel};
use nereid_gpu::{Gpu, Gpus};
use nereid_inference::{InferError, ModelConfig, ModelSource, config::InstanceKind};

use crate::{
    ffi::{Engine, TensorRt},
    library::{self, TensorrtSettings},
    model::TensorrtModel,
    plan_file::{DEFAULT_FILENAME, PlanFile},
    tensors,
};

/// The backend called `tensorrt`.
#[derive(Clone, Debug)]
pub struct TensorrtBackend {
    settings: TensorrtSettings,
    gpus: Gpus,
}

// === impl TensorrtBackend ===

impl TensorrtBackend {
    /// A backend that looks for its library when the first model is loaded, for these devices.
    pub fn new(settings: TensorrtSettings, gpus: Gpus) -> Self {
        Self { settings, gpus }
    }

    /// The engine on the first device that the configuration names, or the server's first.
    fn first_engine(&self, source: &ModelSource) -> Result<Arc<Engine>, InferError> {
        let groups = source.config.instance_groups.iter().filter(|group| group.kind == InstanceKind::Gpu);
        let named = groups.flat_map(|group| &group.gpus).next().copied();
        let gpu = match named {
            Some(device_id) => self.gpus.get(device_id),
            None => self.gpus.all().first(),
        };
        open(source, &self.settings, gpu, &self.gpus)
    }
}

impl Backend for TensorrtBackend {
    fn name(&self) -> &'static str {
        "tensorrt"
    }

    fn default_model_filename(&self) -> &'static str {
        DEFAULT_FILENAME
    }

    fn prefers_gpus(&self) -> bool {
        true
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        let invalid = |text| InferError::invalid_argument(format!("model '{}': {text}", source.config.name));
        let declared = self.first_engine(source)?.declared().map_err(invalid)?;
        let completed = tensors::complete(&source.config, &declared);
        tensors::check(&completed, &declared).map_err(invalid)?;
        Ok(completed)
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        refuse_unserved(&source.config)?;
        let engine = self.first_engine(source)?;
        let model = TensorrtModel::new(source, (&self.settings, &self.gpus), engine)?;
        Ok(Arc::new(model))
    }
}

/// The engine of the version's plan on that device.
///
/// # Errors
/// Of the plan first, then of the library, then of the device: what TensorRT cannot survive is found before it is asked.
pub(crate) fn open(
    source: &ModelSource,
    settings: &TensorrtSettings,
    gpu: Option<&Arc<Gpu>>,
    gpus: &Gpus,
) -> Result<Arc<Engine>, InferError> {
    let name = &source.config.name;
    let plan = PlanFile::read(source, gpu.map(|gpu| gpu.compute_capability()))?;
    let tensorrt: &'static TensorRt = library::tensorrt(settings, name)?;
    let version = tensorrt.version();
    let invalid = |text: String| InferError::invalid_argument(format!("model '{name}': {text}"));
    plan.check(version).map_err(invalid)?;
    let gpu = gpu.ok_or_else(|| {
        let found = gpus.absence().map_or_else(|| format!("this server uses {gpus:?}"), ToOwned::to_owned);
        InferError::unavailable(format!(
            "model '{name}': TensorRT plans run on GPUs, and there is none for it: {found}"
        ))
    })?;
    let engine = Engine::deserialise(tensorrt, gpu, (&plan.bytes, settings.version_compatible));
    engine.map(Arc::new).map_err(|text| {
        let path = plan.path.display();
        invalid(format!("{path} could not be loaded on GPU {}: {text}{}", gpu.ordinal(), plan.suspicion(version)))
    })
}

/// Fields that mean something to a plan and are not served: refused by name, so that nothing is silently ignored.
fn refuse_unserved(config: &ModelConfig) -> Result<(), InferError> {
    BatchForms::refuse_batch_tensors(config, "tensorrt")?;
    let name = &config.name;
    if let Some(input) = config.inputs.iter().find(|input| input.allow_ragged_batch) {
        return Err(InferError::unsupported(format!(
            "model '{name}': input '{}' has 'allow_ragged_batch', which the tensorrt backend does not serve; remove it",
            input.name
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
