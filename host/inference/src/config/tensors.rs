//! Inputs and outputs as configured.

use nereid_tensor::DataType;

/// An element type as written in a configuration. `Invalid` is the message's zero: not written.
///
/// A `TYPE_STRING` of a configuration is [`DataType::Bytes`] on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConfigDataType {
    #[default]
    Invalid,
    Known(DataType),
}

/// Layout that a backend should expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TensorFormat {
    #[default]
    None,
    Nhwc,
    Nchw,
}

/// The shape that the backend sees instead of `dims`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reshape {
    pub shape: Vec<i64>,
}

/// One input tensor. `dims` exclude the batch dimension; -1 is any extent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelInput {
    pub name: String,
    pub data_type: ConfigDataType,
    pub format: TensorFormat,
    pub dims: Vec<i64>,
    pub reshape: Option<Reshape>,
    pub is_shape_tensor: bool,
    /// Requests of different shape may share a batch; their elements are concatenated flat.
    pub allow_ragged_batch: bool,
    pub optional: bool,
    pub is_non_linear_format_io: bool,
}

/// One output tensor. `dims` exclude the batch dimension; -1 is any extent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelOutput {
    pub name: String,
    pub data_type: ConfigDataType,
    pub dims: Vec<i64>,
    pub reshape: Option<Reshape>,
    /// Text per index, for the classification extension; relative to the model's directory.
    pub label_filename: String,
    pub is_shape_tensor: bool,
    pub is_non_linear_format_io: bool,
}

/// A tensor about the batch, made by the scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchInput {
    pub kind: BatchInputKind,
    pub target_names: Vec<String>,
    pub data_type: ConfigDataType,
    pub source_inputs: Vec<String>,
}

/// What a [`BatchInput`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchInputKind {
    #[default]
    ElementCount,
    AccumulatedElementCount,
    AccumulatedElementCountWithZero,
    MaxElementCountAsShape,
    ItemShape,
    ItemShapeFlatten,
}

/// How an output is handed out to the requests of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchOutput {
    pub target_names: Vec<String>,
    pub kind: BatchOutputKind,
    pub source_inputs: Vec<String>,
}

/// The only way there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchOutputKind {
    #[default]
    ScatterWithInputShape,
}

// === impl ModelInput ===

impl ModelInput {
    /// The dims that the backend sees: those of the `reshape`, where there is one.
    pub fn backend_dims(&self) -> &[i64] {
        self.reshape.as_ref().map_or(&self.dims, |reshape| &reshape.shape)
    }
}

// === impl ModelOutput ===

impl ModelOutput {
    /// The dims that the backend gives: those of the `reshape`, where there is one.
    pub fn backend_dims(&self) -> &[i64] {
        self.reshape.as_ref().map_or(&self.dims, |reshape| &reshape.shape)
    }
}

// === impl ConfigDataType ===

impl ConfigDataType {
    /// The type, where one is written.
    pub fn known(self) -> Option<DataType> {
        match self {
            Self::Known(data_type) => Some(data_type),
            Self::Invalid => None,
        }
    }

    /// The name in a configuration file, for example `TYPE_FP32`.
    pub fn config_name(self) -> &'static str {
        match self {
            Self::Invalid => "TYPE_INVALID",
            Self::Known(DataType::Bool) => "TYPE_BOOL",
            Self::Known(DataType::Uint8) => "TYPE_UINT8",
            Self::Known(DataType::Uint16) => "TYPE_UINT16",
            Self::Known(DataType::Uint32) => "TYPE_UINT32",
            Self::Known(DataType::Uint64) => "TYPE_UINT64",
            Self::Known(DataType::Int8) => "TYPE_INT8",
            Self::Known(DataType::Int16) => "TYPE_INT16",
            Self::Known(DataType::Int32) => "TYPE_INT32",
            Self::Known(DataType::Int64) => "TYPE_INT64",
            Self::Known(DataType::Fp16) => "TYPE_FP16",
            Self::Known(DataType::Bf16) => "TYPE_BF16",
            Self::Known(DataType::Fp32) => "TYPE_FP32",
            Self::Known(DataType::Fp64) => "TYPE_FP64",
            Self::Known(DataType::Bytes) => "TYPE_STRING",
        }
    }
}

impl From<DataType> for ConfigDataType {
    fn from(data_type: DataType) -> Self {
        Self::Known(data_type)
    }
}
