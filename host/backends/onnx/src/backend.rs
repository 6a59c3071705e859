//! Loading: the file is opened, compared with the configuration, and planned; instances share its session.
//!
//! One session per model and not per instance: `Run` is thread safe, two threads on one session and on one each have
//! the same throughput (digits_cnn_large, batch 1 and 16: equal within 5 %), and each further session would
//! hold another copy of the weights.

use std::sync::Arc;

use nereid_backend::{Backend, BatchForms, Instance, InstanceSpec, LoadedModel};
use nereid_inference::{
    InferError, MemoryKind, MemoryUsage, ModelConfig, ModelSource, Signature, config::InstanceKind,
};
use ort::session::Session;

use crate::{
    agree,
    complete::{self, Declared},
    instance::OnnxInstance,
    iterate,
    library::OnnxSettings,
    memory,
    model_file::{DEFAULT_FILENAME, ModelFile},
    options::SessionOptions,
    plan::Plan,
};

/// The backend called `onnxruntime`.
#[derive(Clone, Debug)]
pub struct OnnxBackend {
    settings: OnnxSettings,
}

struct OnnxModel {
    session: Arc<Session>,
    plan: Arc<Plan>,
}

// === impl OnnxBackend ===

impl OnnxBackend {
    /// A backend that looks for its library when the first model is loaded.
    pub fn new(settings: OnnxSettings) -> Self {
        Self { settings }
    }
}

impl Backend for OnnxBackend {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn default_model_filename(&self) -> &'static str {
        DEFAULT_FILENAME
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        let file = ModelFile::open(&self.settings, source, SessionOptions::METADATA)?;
        let completed = complete::complete(&source.config, file.declared(), self.settings.default_max_batch_size);
        agree::check(&completed, file.declared(), &file.file_name)?;
        Ok(completed)
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        let model_config = &source.config;
        let options = SessionOptions::from_config(model_config)?;
        refuse_unserved(model_config)?;
        let signature = Signature::of_backend(model_config)?;
        let file = ModelFile::open(&self.settings, source, options)?;
        agree::check(model_config, file.declared(), &file.file_name)?;
        let forms = BatchForms::of(model_config)?;
        let plan = Plan::new(&signature, forms, file.declared())
            .map_err(|error| InferError::invalid_argument(format!("model '{}': {error}", model_config.name)))?;
        let plan = Plan { iterate_while: iterate::output(model_config, &signature)?, ..plan };
        Ok(Arc::new(OnnxModel { session: file.session, plan: Arc::new(plan) }))
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
    fn declared(&self) -> Declared<'_> {
        Declared { inputs: &self.inputs, outputs: &self.outputs, defaults: &self.defaults }
    }
}

// === impl OnnxModel ===

impl LoadedModel for OnnxModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        if spec.kind == InstanceKind::Gpu {
            return Err(InferError::unsupported(format!(
                "instance '{}' of model '{}': the onnxruntime backend runs on the CPU only; use kind: KIND_CPU",
                spec.name, self.plan.model_name
            )));
        }
        let instance = OnnxInstance { session: self.session.clone(), plan: self.plan.clone() };
        Ok(Instance::Blocking(Box::new(instance)))
    }

    fn memory_usage(&self) -> Vec<MemoryUsage> {
        let bytes = memory::bytes_in_use(&self.session);
        bytes.map(|bytes| MemoryUsage { kind: MemoryKind::Cpu, device_id: 0, bytes }).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
