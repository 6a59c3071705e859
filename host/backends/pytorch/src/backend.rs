//! Loading: the file is opened, its `forward` is compared with the configuration, and instances share what they can.
//!
//! Instances share one copy of the weights where the model does not change itself: LibTorch's interpreter has a state per
//! execution. Where it does, each instance has its own, as upstream has for every model; told to share all the same, they take
//! turns.

use std::sync::{Arc, OnceLock, Weak};

use nereid_backend::{Backend, BatchForms, Instance, InstanceSpec, LoadedModel};
use nereid_gpu::Gpus;
use nereid_inference::{
    InferError, MemoryKind, MemoryUsage, ModelConfig, ModelSource, Signature, config::InstanceKind,
};
use parking_lot::Mutex;

use crate::{
    devices,
    ffi::{Model, Place, Stream, Torch},
    file::{DEFAULT_FILENAME, ModelFile, file_name},
    instance::PytorchInstance,
    library::{PytorchSettings, torch},
    names,
    plan::Plan,
    settings::ModelSettings,
};

/// The backend called `pytorch`.
#[derive(Clone, Debug)]
pub struct PytorchBackend {
    settings: PytorchSettings,
    gpus: Gpus,
}

struct PytorchModel {
    file: ModelFile,
    plan: Arc<Plan>,
    shares_weights: bool,
    weight_bytes: u64,
    copies: Mutex<Copies>,
    gpus: Gpus,
    lost_device: Arc<OnceLock<String>>,
}

/// The copies of a model in memory.
#[derive(Default)]
struct Copies {
    /// Opened to see what is in the file, and the first instance's.
    unused: Option<(Place, Arc<Model>)>,
    all: Vec<(Place, Weak<Model>)>,
}

// === impl PytorchBackend ===

impl PytorchBackend {
    /// A backend that looks for its library when the first model is loaded.
    pub fn new(settings: PytorchSettings) -> Self {
        Self { settings, gpus: Gpus::none() }
    }

    /// The same one, whose models may use these devices.
    #[must_use]
    pub fn with_gpus(self, gpus: Gpus) -> Self {
        Self { gpus, ..self }
    }

    fn file(&self, source: &ModelSource) -> Result<ModelFile, InferError> {
        ModelFile::find(&self.settings, &self.gpus, &source.config, &source.version_directory)
    }
}

impl Backend for PytorchBackend {
    fn name(&self) -> &'static str {
        "pytorch"
    }

    fn default_model_filename(&self) -> &'static str {
        DEFAULT_FILENAME
    }

    fn prefers_gpus(&self) -> bool {
        let has_devices = |torch: &'static Torch| torch.cuda().is_ok_and(|devices| devices > 0);
        !self.gpus.all().is_empty() && torch(&self.settings, &self.gpus, "").is_ok_and(has_devices)
    }

    /// A TorchScript file does not say what tensors it takes and gives, so that there is nothing to fill in, as upstream.
    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        if source.config.inputs.is_empty() || source.config.outputs.is_empty() {
            let file = self.file(source)?;
            let model = file.open(file.first_place(&self.gpus, &source.config)?)?;
            return Err(undescribed(&file, &model));
        }
        let default_model_filename = file_name(&source.config).to_owned();
        Ok(ModelConfig { default_model_filename, ..source.config.clone() })
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        let config = &source.config;
        let settings = ModelSettings::from_config(config)?;
        refuse_unserved(config)?;
        let file = self.file(source)?;
        let place = file.first_place(&self.gpus, config)?;
        let model = Arc::new(file.open(place)?);
        if config.inputs.is_empty() || config.outputs.is_empty() {
            return Err(undescribed(&file, &model));
        }
        let description = model.description();
        let (signature, forms) = (Signature::of_backend(config)?, BatchForms::of(config)?);
        let plan = Plan::new(&signature, forms, &description, settings)
            .map_err(|text| InferError::invalid_argument(format!("model '{}': {text}", config.name)))?;
        set_interop_threads(file.torch, settings, &config.name);
        Ok(Arc::new(PytorchModel {
            file,
            plan: Arc::new(plan),
            shares_weights: settings.share_weights.unwrap_or(!description.writes_itself),
            weight_bytes: description.weight_bytes,
            copies: Mutex::new(Copies { unused: Some((place, model)), all: vec![] }),
            gpus: self.gpus.clone(),
            lost_device: Arc::default(),
        }))
    }

    fn keeps_weights(&self) -> bool {
        true
    }
}

/// Fields that mean something to a TorchScript model and are not served: refused by name, so that nothing is ignored.
fn refuse_unserved(config: &ModelConfig) -> Result<(), InferError> {
    match config.operation_library_filenames.as_ref().is_some_and(|names| !names.is_empty()) {
        false => Ok(()),
        true => Err(InferError::unsupported(format!(
            "model '{}': the pytorch backend does not serve 'model_operations'; remove it from the configuration",
            config.name
        ))),
    }
}

fn undescribed(file: &ModelFile, model: &Model) -> InferError {
    file.undescribed(&names::listed(&model.description().arguments))
}

/// The number is the process's, and the first model that says one decides, as upstream.
fn set_interop_threads(torch: &Torch, settings: ModelSettings, model_name: &str) {
    let Some(wanted) = settings.inter_threads else { return };
    let in_force = torch.set_interop_threads(wanted);
    if in_force != wanted {
        tracing::warn!(
            "model '{model_name}': INTER_OP_THREAD_COUNT is {wanted}, but holds for the whole server, and {in_force} are in \
             use already"
        );
    }
}

// === impl PytorchModel ===

impl LoadedModel for PytorchModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        let (place, stream) = match spec.kind {
            InstanceKind::Auto | InstanceKind::Cpu => (Place::Cpu, None),
            InstanceKind::Model => (Place::AsSaved, None),
            InstanceKind::Gpu => (Place::Cuda(spec.device_id), Some(self.stream(spec)?)),
        };
        let (model, plan, lost_device) =
            (self.copy_for(self.file.place(place)?)?, self.plan.clone(), self.lost_device.clone());
        Ok(Instance::Blocking(Box::new(PytorchInstance { model, plan, stream, lost_device })))
    }

    fn readiness(&self) -> Result<(), InferError> {
        match self.lost_device.get() {
            None => Ok(()),
            Some(problem) => Err(InferError::internal(format!(
                "model '{}': its GPU cannot be used until the server starts again: {problem}",
                self.plan.model_name
            ))),
        }
    }

    /// Parameters and buffers of every copy; what an execution needs besides is gone after it.
    fn memory_usage(&self) -> Vec<MemoryUsage> {
        let copies = self.copies.lock();
        let mut usage: Vec<MemoryUsage> = Vec::new();
        for (place, _) in copies.all.iter().filter(|(_, copy)| copy.strong_count() > 0) {
            let (kind, device_id) = match place {
                Place::Cuda(device) => (MemoryKind::Gpu, i64::from(*device)),
                Place::Cpu | Place::AsSaved => (MemoryKind::Cpu, 0),
            };
            match usage.iter_mut().find(|row| row.kind == kind && row.device_id == device_id) {
                Some(row) => row.bytes += self.weight_bytes,
                None => usage.push(MemoryUsage { kind, device_id, bytes: self.weight_bytes }),
            }
        }
        usage
    }
}

impl PytorchModel {
    fn stream(&self, spec: &InstanceSpec) -> Result<Stream, InferError> {
        let device = devices::device(&self.gpus, self.file.torch, spec.device_id);
        device.and_then(|gpu| Stream::new(self.file.torch, &gpu)).map_err(|problem| {
            InferError::unsupported(format!(
                "instance '{}' of model '{}' is of KIND_GPU on device {}, and {problem}",
                spec.name, self.plan.model_name, spec.device_id
            ))
        })
    }

    /// The copy that one more instance at `place` uses.
    fn copy_for(&self, place: Place) -> Result<Arc<Model>, InferError> {
        let mut copies = self.copies.lock();
        copies.all.retain(|(_, copy)| copy.strong_count() > 0);
        let shared = copies.all.iter().filter(|(other, _)| self.shares_weights && *other == place);
        if let Some(model) = shared.filter_map(|(_, copy)| copy.upgrade()).next() {
            return Ok(model);
        }
        // One that was opened elsewhere is let go: a model on devices alone has no copy on the host.
        let model = match copies.unused.take() {
            Some((opened, model)) if opened == place => model,
            _ => Arc::new(self.file.open(place)?),
        };
        copies.all.push((place, Arc::downgrade(&model)));
        Ok(model)
    }
}

#[cfg(test)]
mod tests;
