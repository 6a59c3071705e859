//! Loading: the file is read, compared with the configuration and compiled once; instances are requests to that.

use std::sync::Arc;

use nereid_backend::{Backend, BatchForms, Instance, InstanceSpec, LoadedModel};
use nereid_inference::{InferError, ModelConfig, ModelSource, Signature, config::InstanceKind};

use crate::{
    agree::Plan, complete::complete, ffi::Program, instance::OpenvinoInstance, library::OpenvinoSettings,
    model_file::ModelFile, narrowed, settings::ModelSettings,
};

/// One of the two names under which OpenVINO serves.
#[derive(Clone, Debug)]
pub struct OpenvinoBackend {
    settings: OpenvinoSettings,
    name: &'static str,
    /// Usual files, in the order in which they are looked for.
    usual: &'static [&'static str],
    /// Those of them that a model without a configuration is recognised by: ONNX files are another backend's first.
    recognised: &'static [&'static str],
}

/// A platform of Triton's TensorFlow backend whose files are not read.
const GRAPHDEF: &str = "tensorflow_graphdef";

struct OpenvinoModel {
    program: Arc<Program>,
    plan: Arc<Plan>,
}

// === impl OpenvinoBackend ===

impl OpenvinoBackend {
    /// The backend called `openvino`: IR (`model.xml` with `model.bin`) and ONNX.
    pub fn new(settings: OpenvinoSettings) -> Self {
        Self { settings, name: "openvino", usual: &["model.xml", "model.onnx"], recognised: &["model.xml"] }
    }

    /// The backend called `tensorflow`: SavedModels, through OpenVINO's reader of them.
    pub fn tensorflow(settings: OpenvinoSettings) -> Self {
        Self { settings, name: "tensorflow", usual: &["model.savedmodel"], recognised: &["model.savedmodel"] }
    }

    fn read(&self, source: &ModelSource, settings: &ModelSettings) -> Result<ModelFile, InferError> {
        self.refuse_unserved(&source.config)?;
        ModelFile::read(&self.settings, source, self.usual, settings)
    }

    /// Fields that mean something and are not served: refused by name, so that nothing is silently ignored.
    fn refuse_unserved(&self, config: &ModelConfig) -> Result<(), InferError> {
        BatchForms::refuse_batch_tensors(config, self.name)?;
        let refused = |text: &str| {
            Err(InferError::unsupported(format!(
                "model '{}': the {} backend does not serve {text}",
                config.name, self.name
            )))
        };
        if config.platform == GRAPHDEF {
            return refused("frozen graphs (tensorflow_graphdef); save the model as a SavedModel");
        }
        if config.inputs.iter().any(|input| input.allow_ragged_batch) {
            return refused("'allow_ragged_batch'; remove it from the configuration");
        }
        if config.inputs.iter().any(|input| input.optional) {
            return refused("'optional' inputs; remove it from the configuration");
        }
        match config.operation_library_filenames.as_ref().is_some_and(|names| !names.is_empty()) {
            true => refused("'model_operations'; remove it from the configuration"),
            false => Ok(()),
        }
    }
}

impl Backend for OpenvinoBackend {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default_model_filename(&self) -> &'static str {
        ""
    }

    fn model_filenames(&self) -> &'static [&'static str] {
        self.recognised
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        let settings = ModelSettings::from_config(&source.config)?;
        let file = self.read(source, &settings)?;
        Ok(complete(&source.config, &file.inputs, &file.outputs, self.settings.default_max_batch_size))
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        let config = &source.config;
        let settings = ModelSettings::from_config(config)?;
        let signature = Signature::of_backend(config)?;
        let file = self.read(source, &settings)?;
        let plan = Plan::new(&signature, (&file.inputs, &file.outputs), &file.file_name)
            .map_err(|text| InferError::invalid_argument(format!("model '{}': {text}", config.name)))?;
        let program = Arc::new(file.compile(&settings)?);
        if let Some(text) = narrowed::warning(&plan) {
            tracing::warn!("{text}");
        }
        Ok(Arc::new(OpenvinoModel { program, plan: Arc::new(plan) }))
    }

    fn keeps_weights(&self) -> bool {
        true
    }
}

// === impl OpenvinoModel ===

impl LoadedModel for OpenvinoModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        let model = &self.plan.model_name;
        if spec.kind == InstanceKind::Gpu {
            return Err(InferError::unsupported(format!(
                "instance '{}' of model '{model}': OpenVINO runs on the CPU only here; use kind: KIND_CPU",
                spec.name
            )));
        }
        let request = self.program.request();
        let request = request.map_err(|text| {
            let instance = &spec.name;
            InferError::internal(format!("instance '{instance}' of model '{model}': OpenVINO cannot make it: {text}"))
        })?;
        let instance = OpenvinoInstance { request, plan: self.plan.clone() };
        Ok(Instance::Blocking(Box::new(instance)))
    }
}

#[cfg(test)]
mod tests;
