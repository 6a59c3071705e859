//! What the server says about a model, as far as a request needs it.

use nereid_tensor::DataType;

use crate::error::ClientError;

/// One model version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) inputs: Vec<TensorDescription>,
    pub(crate) outputs: Vec<TensorDescription>,
    /// Whether the first dimension of every tensor counts requests that travel together.
    pub(crate) has_batching: bool,
    /// Whether a request may get any number of responses.
    pub(crate) is_decoupled: bool,
}

/// One tensor of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorDescription {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// With the batch dimension; -1 is any extent.
    pub(crate) dims: Vec<i64>,
    /// Where an image has its channels; `None` where the configuration does not say.
    pub(crate) layout: Option<Layout>,
    /// May be left out of a request.
    pub(crate) is_optional: bool,
}

/// The order of an image's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Channel, row, column.
    Planar,
    /// Row, column, channel.
    Interleaved,
}

// === impl Description ===

impl Description {
    /// The input called `name`.
    ///
    /// # Errors
    /// There is none; the text lists those that there are.
    pub(crate) fn input(&self, name: &str) -> Result<&TensorDescription, ClientError> {
        self.inputs.iter().find(|input| input.name == name).ok_or_else(|| {
            let known: Vec<String> = self.inputs.iter().map(TensorDescription::to_text).collect();
            ClientError::input(name, format!("model '{}' has no such input; it has {}", self.name, known.join(", ")))
        })
    }

    /// Refuses outputs that the model does not have.
    pub(crate) fn check_outputs(&self, wanted: &[String]) -> Result<(), ClientError> {
        let unknown = wanted.iter().find(|name| !self.outputs.iter().any(|output| output.name == **name));
        let Some(unknown) = unknown else { return Ok(()) };
        let known: Vec<&str> = self.outputs.iter().map(|output| output.name.as_str()).collect();
        let text = format!("--output {unknown}: model '{}' has no such output; it has {}", self.name, known.join(", "));
        Err(ClientError::Arguments(text))
    }
}

// === impl TensorDescription ===

impl TensorDescription {
    /// `name TYPE [dims]`.
    pub(crate) fn to_text(&self) -> String {
        format!("'{}' {} {}", self.name, self.data_type, dims_text(&self.dims))
    }
}

// === impl Layout ===

impl Layout {
    /// From a configuration's word; `None` for `FORMAT_NONE`.
    pub(crate) fn from_format(format: &str) -> Option<Self> {
        match format {
            "FORMAT_NCHW" => Some(Self::Planar),
            "FORMAT_NHWC" => Some(Self::Interleaved),
            _ => None,
        }
    }
}

/// `[-1,3]`, as the protocol prints shapes.
pub(crate) fn dims_text<T: ToString>(dims: &[T]) -> String {
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(","))
}
