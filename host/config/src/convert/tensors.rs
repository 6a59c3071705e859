//! Inputs, outputs and what the scheduler adds to them.

use nereid_inference::config::{
    BatchInput, BatchInputKind, BatchOutput, BatchOutputKind, ConfigDataType, ModelInput, ModelOutput, Reshape,
    TensorFormat,
};
use nereid_tensor::DataType;

use super::{Named, enums, named, number};
use crate::{
    ConfigError,
    proto::{self, ModelTensorReshape, batch_input, batch_output, model_input},
};

enums!("input.format", model_input::Format => TensorFormat {
    None => None,
    Nhwc => Nhwc,
    Nchw => Nchw,
});

enums!("batch_input.kind", batch_input::Kind => BatchInputKind {
    BatchElementCount => ElementCount,
    BatchAccumulatedElementCount => AccumulatedElementCount,
    BatchAccumulatedElementCountWithZero => AccumulatedElementCountWithZero,
    BatchMaxElementCountAsShape => MaxElementCountAsShape,
    BatchItemShape => ItemShape,
    BatchItemShapeFlatten => ItemShapeFlatten,
});

enums!("batch_output.kind", batch_output::Kind => BatchOutputKind {
    BatchScatterWithInputShape => ScatterWithInputShape,
});

// === ConfigDataType ===

impl Named for proto::DataType {
    const FIELD: &'static str = "data_type";
}

impl From<ConfigDataType> for proto::DataType {
    fn from(data_type: ConfigDataType) -> Self {
        match data_type {
            ConfigDataType::Invalid => Self::TypeInvalid,
            ConfigDataType::Known(DataType::Bool) => Self::TypeBool,
            ConfigDataType::Known(DataType::Uint8) => Self::TypeUint8,
            ConfigDataType::Known(DataType::Uint16) => Self::TypeUint16,
            ConfigDataType::Known(DataType::Uint32) => Self::TypeUint32,
            ConfigDataType::Known(DataType::Uint64) => Self::TypeUint64,
            ConfigDataType::Known(DataType::Int8) => Self::TypeInt8,
            ConfigDataType::Known(DataType::Int16) => Self::TypeInt16,
            ConfigDataType::Known(DataType::Int32) => Self::TypeInt32,
            ConfigDataType::Known(DataType::Int64) => Self::TypeInt64,
            ConfigDataType::Known(DataType::Fp16) => Self::TypeFp16,
            ConfigDataType::Known(DataType::Bf16) => Self::TypeBf16,
            ConfigDataType::Known(DataType::Fp32) => Self::TypeFp32,
            ConfigDataType::Known(DataType::Fp64) => Self::TypeFp64,
            ConfigDataType::Known(DataType::Bytes) => Self::TypeString,
        }
    }
}

impl From<proto::DataType> for ConfigDataType {
    fn from(data_type: proto::DataType) -> Self {
        Self::Known(match data_type {
            proto::DataType::TypeInvalid => return Self::Invalid,
            proto::DataType::TypeBool => DataType::Bool,
            proto::DataType::TypeUint8 => DataType::Uint8,
            proto::DataType::TypeUint16 => DataType::Uint16,
            proto::DataType::TypeUint32 => DataType::Uint32,
            proto::DataType::TypeUint64 => DataType::Uint64,
            proto::DataType::TypeInt8 => DataType::Int8,
            proto::DataType::TypeInt16 => DataType::Int16,
            proto::DataType::TypeInt32 => DataType::Int32,
            proto::DataType::TypeInt64 => DataType::Int64,
            proto::DataType::TypeFp16 => DataType::Fp16,
            proto::DataType::TypeBf16 => DataType::Bf16,
            proto::DataType::TypeFp32 => DataType::Fp32,
            proto::DataType::TypeFp64 => DataType::Fp64,
            proto::DataType::TypeString => DataType::Bytes,
        })
    }
}

// === ModelInput, ModelOutput ===

impl From<ModelInput> for proto::ModelInput {
    fn from(input: ModelInput) -> Self {
        let ModelInput {
            name,
            data_type,
            format,
            dims,
            reshape,
            is_shape_tensor,
            allow_ragged_batch,
            optional,
            is_non_linear_format_io,
        } = input;
        Self {
            name,
            data_type: number::<proto::DataType, _>(data_type),
            format: number::<model_input::Format, _>(format),
            dims,
            reshape: reshape.map(Into::into),
            is_shape_tensor,
            allow_ragged_batch,
            optional,
            is_non_linear_format_io,
        }
    }
}

impl TryFrom<proto::ModelInput> for ModelInput {
    type Error = ConfigError;

    fn try_from(message: proto::ModelInput) -> Result<Self, ConfigError> {
        let proto::ModelInput {
            name,
            data_type,
            format,
            dims,
            reshape,
            is_shape_tensor,
            allow_ragged_batch,
            optional,
            is_non_linear_format_io,
        } = message;
        Ok(Self {
            name,
            data_type: named::<proto::DataType, _>(data_type)?,
            format: named::<model_input::Format, _>(format)?,
            dims,
            reshape: reshape.map(Into::into),
            is_shape_tensor,
            allow_ragged_batch,
            optional,
            is_non_linear_format_io,
        })
    }
}

impl From<ModelOutput> for proto::ModelOutput {
    fn from(output: ModelOutput) -> Self {
        let ModelOutput { name, data_type, dims, reshape, label_filename, is_shape_tensor, is_non_linear_format_io } =
            output;
        Self {
            name,
            data_type: number::<proto::DataType, _>(data_type),
            dims,
            reshape: reshape.map(Into::into),
            label_filename,
            is_shape_tensor,
            is_non_linear_format_io,
        }
    }
}

impl TryFrom<proto::ModelOutput> for ModelOutput {
    type Error = ConfigError;

    fn try_from(message: proto::ModelOutput) -> Result<Self, ConfigError> {
        let proto::ModelOutput {
            name,
            data_type,
            dims,
            reshape,
            label_filename,
            is_shape_tensor,
            is_non_linear_format_io,
        } = message;
        Ok(Self {
            name,
            data_type: named::<proto::DataType, _>(data_type)?,
            dims,
            reshape: reshape.map(Into::into),
            label_filename,
            is_shape_tensor,
            is_non_linear_format_io,
        })
    }
}

impl From<Reshape> for ModelTensorReshape {
    fn from(Reshape { shape }: Reshape) -> Self {
        Self { shape }
    }
}

impl From<ModelTensorReshape> for Reshape {
    fn from(ModelTensorReshape { shape }: ModelTensorReshape) -> Self {
        Self { shape }
    }
}

// === BatchInput, BatchOutput ===

impl From<BatchInput> for proto::BatchInput {
    fn from(BatchInput { kind, target_names, data_type, source_inputs }: BatchInput) -> Self {
        Self {
            kind: number::<batch_input::Kind, _>(kind),
            target_name: target_names,
            data_type: number::<proto::DataType, _>(data_type),
            source_input: source_inputs,
        }
    }
}

impl TryFrom<proto::BatchInput> for BatchInput {
    type Error = ConfigError;

    fn try_from(message: proto::BatchInput) -> Result<Self, ConfigError> {
        let proto::BatchInput { kind, target_name, data_type, source_input } = message;
        Ok(Self {
            kind: named::<batch_input::Kind, _>(kind)?,
            target_names: target_name,
            data_type: named::<proto::DataType, _>(data_type)?,
            source_inputs: source_input,
        })
    }
}

impl From<BatchOutput> for proto::BatchOutput {
    fn from(BatchOutput { target_names, kind, source_inputs }: BatchOutput) -> Self {
        Self { target_name: target_names, kind: number::<batch_output::Kind, _>(kind), source_input: source_inputs }
    }
}

impl TryFrom<proto::BatchOutput> for BatchOutput {
    type Error = ConfigError;

    fn try_from(message: proto::BatchOutput) -> Result<Self, ConfigError> {
        let proto::BatchOutput { target_name, kind, source_input } = message;
        Ok(Self { target_names: target_name, kind: named::<batch_output::Kind, _>(kind)?, source_inputs: source_input })
    }
}
