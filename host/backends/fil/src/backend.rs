//! Loading: the file is read, compared with the configuration, and packed; instances share it.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use nereid_backend::{Backend, Instance, InstanceSpec, LoadedModel};
use nereid_forest::{Evaluator, Explainer, Forest, Format, Threads};
use nereid_gpu::Gpus;
use nereid_inference::{InferError, MemoryKind, MemoryUsage, ModelConfig, ModelSource, config::InstanceKind};

use crate::{
    complete::complete,
    gpu::{DeviceForests, Devices},
    instance::{FilInstance, Plan},
    model_file::ModelFile,
    settings::ModelSettings,
    shape::{AnswerShape, SHAP_OUTPUT},
};

/// What the command line says of this backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilSettings {
    /// Batch of a model whose configuration does not say; 0 is none. Rows are small, and gathering them is cheap.
    pub default_max_batch_size: i32,
    /// Threads that share large batches of all models; 0 is one per processor.
    pub threads: usize,
    /// The library that compiles the kernel for GPUs, or the folder with it; `None` has it looked for.
    pub nvrtc: Option<PathBuf>,
}

/// The backend called `fil`.
#[derive(Clone, Debug)]
pub struct FilBackend {
    settings: FilSettings,
    devices: Devices,
    /// Made when the first model is loaded.
    threads: Arc<OnceLock<Result<Arc<Threads>, String>>>,
}

struct FilModel {
    plan: Arc<Plan>,
    device_forests: DeviceForests,
}

/// The number in the examples of Triton's documentation.
const MAX_BATCH_SIZE: i32 = 32_768;

// === impl FilSettings ===

impl FilSettings {
    /// More threads than any processor we know has cores; a larger number is a typing error.
    pub const THREADS_MAX: usize = nereid_forest::THREADS_MAX;
}

impl Default for FilSettings {
    fn default() -> Self {
        Self { default_max_batch_size: MAX_BATCH_SIZE, threads: 0, nvrtc: None }
    }
}

// === impl FilBackend ===

impl FilBackend {
    /// A backend without models and without devices; its threads are started with the first model.
    pub fn new(settings: FilSettings) -> Self {
        let devices = Devices::new(Gpus::none(), settings.nvrtc.clone());
        Self { settings, devices, threads: Arc::default() }
    }

    /// The same backend, whose models may be on these devices.
    pub fn with_gpus(self, gpus: Gpus) -> Self {
        Self { devices: Devices::new(gpus, self.settings.nvrtc.clone()), ..self }
    }

    fn threads(&self, model_name: &str) -> Result<Arc<Threads>, InferError> {
        let made = self.threads.get_or_init(|| Threads::new(self.settings.threads).map(Arc::new));
        made.clone().map_err(|error| {
            InferError::unavailable(format!("model '{model_name}': the threads of backend fil do not start: {error}"))
        })
    }
}

impl Default for FilBackend {
    fn default() -> Self {
        Self::new(FilSettings::default())
    }
}

impl Backend for FilBackend {
    fn name(&self) -> &'static str {
        "fil"
    }

    /// None: which file it is depends on the model's `model_type`.
    fn default_model_filename(&self) -> &'static str {
        ""
    }

    fn model_filenames(&self) -> &'static [&'static str] {
        &Format::FILENAMES
    }

    /// As Triton's: without a written kind forests go to GPUs, where there is the kernel's compiler.
    fn prefers_gpus(&self) -> bool {
        self.devices.are_usable()
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        let settings = ModelSettings::from_config(&source.config)?;
        let ModelFile { forest, format } = ModelFile::open(source, settings)?;
        let shape = AnswerShape::of(&forest, settings, &source.config);
        let completed = complete(&source.config, format, shape, self.settings.default_max_batch_size);
        shape.check(&completed)?;
        Ok(completed)
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        let config = &source.config;
        refuse_unserved(config)?;
        let settings = ModelSettings::from_config(config)?;
        let ModelFile { forest, .. } = ModelFile::open(source, settings)?;
        let shape = AnswerShape::of(&forest, settings, config);
        shape.check(config)?;
        let device_forests = self.devices.place(&forest, shape, config)?;
        let plan = Plan {
            model_name: config.name.clone(),
            batching: config.has_batching(),
            shape,
            evaluator: Evaluator::new(&forest),
            explainer: explainer(forest, config)?,
            threads: self.threads(&config.name)?,
            threads_max: settings.threads,
        };
        Ok(Arc::new(FilModel { plan: Arc::new(plan), device_forests }))
    }
}

/// What gives the SHAP values, with their dims, when the configuration lists them.
fn explainer(forest: Forest, config: &ModelConfig) -> Result<Option<(Explainer, Vec<u64>)>, InferError> {
    let Some(output) = config.outputs.iter().find(|output| output.name == SHAP_OUTPUT) else { return Ok(None) };
    let explainer = Explainer::new(forest).map_err(|error| {
        InferError::unsupported(format!("model '{}': output '{SHAP_OUTPUT}': {error}", config.name))
    })?;
    // Open dimensions are those of the rows, of a model that does not batch.
    Ok(Some((explainer, output.dims.iter().filter_map(|dim| u64::try_from(*dim).ok()).collect())))
}

/// Fields that mean something to a model and are not served by a forest.
fn refuse_unserved(config: &ModelConfig) -> Result<(), InferError> {
    let unserved = [
        (config.inputs.iter().any(|input| input.allow_ragged_batch), "input.allow_ragged_batch"),
        (config.inputs.iter().any(|input| input.reshape.is_some()), "input.reshape"),
        (config.outputs.iter().any(|output| output.reshape.is_some()), "output.reshape"),
        (!config.batch_inputs.is_empty(), "batch_input"),
        (!config.batch_outputs.is_empty(), "batch_output"),
        (config.sequences().is_some(), "sequence_batching"),
        (config.is_decoupled(), "model_transaction_policy.decoupled"),
    ];
    match unserved.iter().find(|(written, _)| *written) {
        None => Ok(()),
        Some((_, field)) => Err(InferError::unsupported(format!(
            "model '{}': the fil backend does not serve '{field}'; remove it from the configuration",
            config.name
        ))),
    }
}

// === impl FilModel ===

impl LoadedModel for FilModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        if spec.kind == InstanceKind::Gpu {
            let instance = self.device_forests.instance(&self.plan, spec.device_id, &spec.name)?;
            return Ok(Instance::Blocking(Box::new(instance)));
        }
        Ok(Instance::Blocking(Box::new(FilInstance { plan: self.plan.clone() })))
    }

    fn memory_usage(&self) -> Vec<MemoryUsage> {
        let explainer = self.plan.explainer.as_ref().map_or(0, |(explainer, _)| explainer.bytes());
        let bytes = (self.plan.evaluator.bytes() + explainer) as u64;
        let on_devices = self.device_forests.bytes();
        let on_devices = on_devices.map(|(device_id, bytes)| MemoryUsage {
            kind: MemoryKind::Gpu,
            device_id: device_id.into(),
            bytes: bytes as u64,
        });
        [MemoryUsage { kind: MemoryKind::Cpu, device_id: 0, bytes }].into_iter().chain(on_devices).collect()
    }
}

#[cfg(test)]
mod tests;
