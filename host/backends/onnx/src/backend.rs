//! Loading: the file is opened where its first instance will be, compared with the configuration, and planned.

use std::sync::Arc;

use nereid_backend::{Backend, BatchForms, LoadedModel};
use nereid_gpu::Gpus;
use nereid_inference::{InferError, ModelConfig, ModelSource, Signature};

use crate::{
    agree,
    complete::{self, Declared},
    iterate,
    library::{self, OnnxSettings},
    model::{OnnxModel, Sessions},
    model_file::{DEFAULT_FILENAME, ModelFile, Opening},
    options::SessionOptions,
    place::Place,
    plan::Plan,
    providers,
    shrinkage::ArenaShrinkage,
};

/// The backend called `onnxruntime`.
#[derive(Clone, Debug)]
pub struct OnnxBackend {
    settings: OnnxSettings,
    gpus: Gpus,
}

// === impl OnnxBackend ===

impl OnnxBackend {
    /// A backend that looks for its library when the first model is loaded, for the processor.
    pub fn new(settings: OnnxSettings) -> Self {
        Self { settings, gpus: Gpus::none() }
    }

    /// The backend for these devices too.
    pub fn with_gpus(self, gpus: Gpus) -> Self {
        Self { gpus, ..self }
    }
}

impl Backend for OnnxBackend {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn default_model_filename(&self) -> &'static str {
        DEFAULT_FILENAME
    }

    fn prefers_gpus(&self) -> bool {
        let has_devices = !self.gpus.all().is_empty();
        has_devices && library::environment(&self.settings, "").is_ok_and(|_environment| providers::has_cuda())
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        let opening = Opening { options: SessionOptions::METADATA, gpu: None };
        let file = ModelFile::open(&self.settings, source, opening)?;
        let mut completed = complete::complete(&source.config, file.declared(), self.settings.default_max_batch_size);
        if source.config.instance_groups.is_empty() && self.prefers_gpus() {
            // The host puts what is not written on the devices.
            completed.instance_groups.clear();
        }
        agree::check(&completed, file.declared(), &file.file_name)?;
        Ok(completed)
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        let model_config = &source.config;
        let sessions = Sessions::new(&self.settings, source)?;
        let shrinkage = ArenaShrinkage::from_config(model_config, sessions.options.has_cpu_arena())?;
        refuse_unserved(model_config)?;
        let signature = Signature::of_backend(model_config)?;
        let file = sessions.open(Place::first(model_config))?;
        let forms = BatchForms::of(model_config)?;
        let plan = Plan::new(&signature, forms, file.declared())
            .map_err(|error| InferError::invalid_argument(format!("model '{}': {error}", model_config.name)))?;
        let plan = Plan { iterate_while: iterate::output(model_config, &signature)?, ..plan };
        Ok(Arc::new(OnnxModel { sessions, gpus: self.gpus.clone(), shrinkage, plan: Arc::new(plan) }))
    }

    fn keeps_weights(&self) -> bool {
        true
    }
}

/// Fields that mean something to an ONNX model and are not served: refused by name, so that nothing is silently ignored.
fn refuse_unserved(model_config: &ModelConfig) -> Result<(), InferError> {
    let unserved = [(
        model_config.operation_library_filenames.as_ref().is_some_and(|names| !names.is_empty()),
        "model_operations",
    )];
    match unserved.iter().find(|(written, _)| *written) {
        None => Ok(()),
        Some((_, field)) => Err(InferError::unsupported(format!(
            "model '{}': the onnxruntime backend does not serve '{field}'; remove it from the configuration",
            model_config.name
        ))),
    }
}

// === impl ModelFile ===

impl ModelFile {
    pub(crate) fn declared(&self) -> Declared<'_> {
        Declared { inputs: &self.inputs, outputs: &self.outputs, defaults: &self.defaults }
    }
}

#[cfg(test)]
mod tests;
