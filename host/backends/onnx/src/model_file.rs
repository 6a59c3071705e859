//! An `.onnx` file, opened: the session that runs it and the tensors that it declares.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

use nereid_inference::{InferError, ModelSource};
use nereid_tensor::DataType;
use ort::{
    session::Session,
    value::{Outlet, ValueType},
};

use crate::{
    element_type,
    library::{self, OnnxSettings},
    options::SessionOptions,
    providers::{self, GpuProviders},
};

/// The file in a version directory when the configuration names none.
pub(crate) const DEFAULT_FILENAME: &str = "model.onnx";

/// How a file is opened.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) options: SessionOptions,
    /// The device that it is opened on, and by which providers; `None` is the CPU.
    pub(crate) gpu: Option<(&'a GpuProviders, i32)>,
}

/// An opened file.
pub(crate) struct ModelFile {
    pub(crate) session: Arc<Session>,
    /// As shown in errors.
    pub(crate) file_name: String,
    pub(crate) inputs: Vec<FileTensor>,
    pub(crate) outputs: Vec<FileTensor>,
    /// Inputs that the file has a value for: a configuration may name them, as `optional`.
    pub(crate) defaults: Vec<FileTensor>,
}

/// One input or output that a file declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileTensor {
    pub(crate) name: String,
    /// `None` for what the protocol cannot carry: sequences, maps, complex numbers, …
    pub(crate) data_type: Option<DataType>,
    /// With the batch dimension; -1 is any extent. Empty for a scalar and where the file does not say.
    pub(crate) dims: Vec<i64>,
    /// In ONNX Runtime's words.
    pub(crate) description: String,
}

// === impl ModelFile ===

impl ModelFile {
    /// Opens the version's file.
    ///
    /// # Errors
    /// No library, no file, a provider that cannot be used, or a file that ONNX Runtime refuses.
    pub(crate) fn open(
        settings: &OnnxSettings,
        source: &ModelSource,
        opening: Opening<'_>,
    ) -> Result<Self, InferError> {
        let model_name = &source.config.name;
        let path = model_path(source);
        if !path.is_file() {
            let text = format!("model '{model_name}': the model file {} does not exist", path.display());
            return Err(InferError::not_found(text));
        }
        let environment = library::environment(settings, model_name)?;
        let mut builder = opening.options.builder(&environment).map_err(|error| {
            let text = format!("model '{model_name}': ONNX Runtime refuses its options: {}", error.message());
            InferError::invalid_argument(text).with_source(error)
        })?;
        if let Some((providers, device_id)) = opening.gpu {
            if providers::has_cuda() {
                library::preload_for_gpus();
            }
            builder = providers
                .register(builder, device_id)
                .map_err(|text| InferError::unavailable(format!("model '{model_name}': {text}")))?;
        }
        // `ort` panics on types that it does not know; that must stay this model's failure.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let session = builder.commit_from_file(&path)?;
            let defaults = session.overridable_initializers();
            Ok::<_, ort::Error>((session, defaults))
        }));
        let refused = |text: &str| {
            let path = path.display();
            InferError::invalid_argument(format!("model '{model_name}': ONNX Runtime cannot load {path}: {text}"))
        };
        let (session, defaults) = match opened {
            Ok(result) => result.map_err(|error| refused(error.message()).with_source(error))?,
            Err(_) => return Err(refused("it declares a tensor of a type that is not known")),
        };
        let tensors =
            |outlets: &[Outlet]| outlets.iter().map(|outlet| FileTensor::new(outlet.name(), outlet.dtype())).collect();
        let (inputs, outputs) = (tensors(session.inputs()), tensors(session.outputs()));
        let defaults = defaults.iter().map(|default| FileTensor::new(default.name(), default.dtype())).collect();
        let file_name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { session: Arc::new(session), file_name, inputs, outputs, defaults })
    }
}

/// A directory of that name holds a model with its external data, as in Triton.
fn model_path(source: &ModelSource) -> PathBuf {
    let file_name = match source.config.default_model_filename.as_str() {
        "" => DEFAULT_FILENAME,
        file_name => file_name,
    };
    let path = source.version_directory.join(file_name);
    if path.is_dir() { path.join(DEFAULT_FILENAME) } else { path }
}

// === impl FileTensor ===

impl FileTensor {
    fn new(name: &str, value_type: &ValueType) -> Self {
        let (data_type, dims) = match value_type {
            ValueType::Tensor { ty, shape, .. } => (element_type::from_file(*ty), shape.to_vec()),
            _ => (None, Vec::new()),
        };
        Self { name: name.to_owned(), data_type, dims, description: value_type.to_string() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! Sessions for tests of what is done with one.

    use std::path::Path;

    use nereid_inference::{LoadClock, ModelConfig, ModelIdentity};

    use super::*;

    /// The session of a fixture, on the processor.
    pub(crate) fn session(name: &str) -> Arc<Session> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let models = workspace.join("tests/models");
        let default_model_filename = format!("{name}.onnx");
        let source = ModelSource {
            identity: ModelIdentity::new(name, 1),
            model_directory: models.clone(),
            version_directory: models,
            config: ModelConfig { name: name.into(), default_model_filename, ..ModelConfig::default() },
            clock: LoadClock::default(),
        };
        let search = vec![workspace.join(".nereid/onnxruntime")];
        let settings = OnnxSettings { library: None, search, default_max_batch_size: 4 };
        let opening = Opening { options: SessionOptions::METADATA, gpu: None };
        ModelFile::open(&settings, &source, opening).unwrap_or_else(|error| panic!("{error}")).session
    }
}
