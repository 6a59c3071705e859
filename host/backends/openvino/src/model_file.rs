//! A model's file, read: what it declares, and what is compiled from it.

use std::{ffi::CString, path::PathBuf};

use nereid_inference::{InferError, ModelSource};
use nereid_tensor::DataType;

use crate::{
    element_type,
    ffi::{Graph, Port, Program},
    library::{OpenvinoSettings, openvino},
    settings::ModelSettings,
};

/// A file that was read.
pub(crate) struct ModelFile {
    graph: Graph,
    model_name: String,
    /// As shown in errors.
    pub(crate) file_name: String,
    pub(crate) inputs: Vec<FileTensor>,
    pub(crate) outputs: Vec<FileTensor>,
}

/// One input or output that a file declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileTensor {
    pub(crate) name: String,
    /// `None` for what this backend does not pass.
    pub(crate) data_type: Option<DataType>,
    /// In OpenVINO's words.
    pub(crate) element_type: String,
    /// With the batch dimension; -1 is any extent. `None` where not even the number of dimensions is known.
    pub(crate) dims: Option<Vec<i64>>,
}

// === impl ModelFile ===

impl ModelFile {
    /// Reads the first of `usual` that is there, or what the configuration names.
    ///
    /// # Errors
    /// No library, no file, or a file that OpenVINO refuses.
    pub(crate) fn read(
        settings: &OpenvinoSettings,
        source: &ModelSource,
        usual: &[&str],
        model_settings: &ModelSettings,
    ) -> Result<Self, InferError> {
        let model_name = &source.config.name;
        let path = model_path(source, usual)?;
        let library = openvino(settings, model_name)?;
        let refused = |text: String| {
            let path = path.display();
            InferError::invalid_argument(format!("model '{model_name}': OpenVINO cannot read {path}: {text}"))
        };
        let graph = library.read(&path).map_err(refused)?;
        let file_name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut file = Self { graph, model_name: model_name.clone(), file_name, inputs: vec![], outputs: vec![] };
        file.describe().map_err(refused)?;
        if source.config.has_batching() && !model_settings.keeps_batch {
            file.open_batch().map_err(|text| refused(format!("its batch cannot be opened: {text}")))?;
        }
        Ok(file)
    }

    /// Compiles for the processor.
    ///
    /// # Errors
    /// OpenVINO's words: an operator or a property that it does not have.
    pub(crate) fn compile(mut self, settings: &ModelSettings) -> Result<Program, InferError> {
        let set = settings.properties.iter().try_for_each(|(key, value)| self.graph.set_property(key, value));
        let (name, compiled) = (self.model_name, set.and_then(|()| self.graph.compile()));
        compiled
            .map_err(|text| InferError::invalid_argument(format!("model '{name}': OpenVINO cannot compile it: {text}")))
    }

    fn describe(&mut self) -> Result<(), String> {
        self.inputs = self.graph.inputs()?.into_iter().map(FileTensor::new).collect();
        self.outputs = self.graph.outputs()?.into_iter().map(FileTensor::new).collect();
        Ok(())
    }

    /// A file whose batch is fixed, mostly to one row, is given a batch dimension of any extent, as upstream does.
    fn open_batch(&mut self) -> Result<(), String> {
        let mut shapes = Vec::new();
        for input in &self.inputs {
            let Some((1.., rest)) = input.dims.as_ref().and_then(|dims| dims.split_first()) else { continue };
            let dims = [-1].iter().chain(rest).copied().collect();
            shapes.push((CString::new(input.name.as_str()).map_err(|error| error.to_string())?, dims));
        }
        if shapes.is_empty() {
            return Ok(());
        }
        self.graph.reshape(&shapes)?;
        self.describe()
    }
}

fn model_path(source: &ModelSource, usual: &[&str]) -> Result<PathBuf, InferError> {
    let written = source.config.default_model_filename.as_str();
    let names = if written.is_empty() { usual } else { &[written] };
    let mut paths = names.iter().map(|name| source.version_directory.join(name));
    paths.find(|path| path.exists()).ok_or_else(|| {
        let (model, folder) = (&source.config.name, source.version_directory.display());
        InferError::not_found(format!("model '{model}': there is no {} in {folder}", names.join(" or ")))
    })
}

// === impl FileTensor ===

impl FileTensor {
    fn new(port: Port) -> Self {
        Self {
            name: port.name,
            data_type: element_type::data_type(port.element_type),
            element_type: element_type::shown(port.element_type),
            dims: port.dims,
        }
    }
}
