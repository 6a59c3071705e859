//! Between the generated types of `wit/` and the domain's.

use nereid_inference::{ErrorKind, InferError, ParameterValue, Parameters, SequenceFlags, SequenceId as DomainId};
use nereid_tensor::DataType;

use crate::bindings::nereid::plugin::{
    serving::{Sequence, SequenceId},
    tensors::Dtype,
    types::{Error, ErrorCode, Parameter, Value},
};

/// Longest error text that is taken from a guest; a screenful.
const MESSAGE_CHARS_MAX: usize = 4000;

/// Longest text that names a sequence, as for clients.
const SEQUENCE_ID_CHARS_MAX: usize = 128;

pub(crate) fn data_type(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::Boolean => DataType::Bool,
        Dtype::Uint8 => DataType::Uint8,
        Dtype::Uint16 => DataType::Uint16,
        Dtype::Uint32 => DataType::Uint32,
        Dtype::Uint64 => DataType::Uint64,
        Dtype::Int8 => DataType::Int8,
        Dtype::Int16 => DataType::Int16,
        Dtype::Int32 => DataType::Int32,
        Dtype::Int64 => DataType::Int64,
        Dtype::Fp16 => DataType::Fp16,
        Dtype::Bf16 => DataType::Bf16,
        Dtype::Fp32 => DataType::Fp32,
        Dtype::Fp64 => DataType::Fp64,
        Dtype::Bytes => DataType::Bytes,
    }
}

pub(crate) fn dtype(data_type: DataType) -> Dtype {
    match data_type {
        DataType::Bool => Dtype::Boolean,
        DataType::Uint8 => Dtype::Uint8,
        DataType::Uint16 => Dtype::Uint16,
        DataType::Uint32 => Dtype::Uint32,
        DataType::Uint64 => Dtype::Uint64,
        DataType::Int8 => Dtype::Int8,
        DataType::Int16 => Dtype::Int16,
        DataType::Int32 => Dtype::Int32,
        DataType::Int64 => Dtype::Int64,
        DataType::Fp16 => Dtype::Fp16,
        DataType::Bf16 => Dtype::Bf16,
        DataType::Fp32 => Dtype::Fp32,
        DataType::Fp64 => Dtype::Fp64,
        DataType::Bytes => Dtype::Bytes,
    }
}

/// A failure, told to the guest.
pub(crate) fn error(error: InferError) -> Error {
    let code = match error.kind() {
        ErrorKind::InvalidArgument => ErrorCode::InvalidArgument,
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Unavailable => ErrorCode::Unavailable,
        ErrorKind::Unsupported => ErrorCode::Unsupported,
        ErrorKind::AlreadyExists => ErrorCode::AlreadyExists,
        ErrorKind::Cancelled => ErrorCode::Cancelled,
        ErrorKind::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        ErrorKind::ResourceExhausted => ErrorCode::ResourceExhausted,
        ErrorKind::Permission => ErrorCode::Permission,
        ErrorKind::Internal => ErrorCode::Internal,
    };
    Error { code, message: error.message().to_owned() }
}

/// A failure, told by the guest.
pub(crate) fn infer_error(error: Error) -> InferError {
    let kind = match error.code {
        ErrorCode::InvalidArgument => ErrorKind::InvalidArgument,
        ErrorCode::NotFound => ErrorKind::NotFound,
        ErrorCode::Unavailable => ErrorKind::Unavailable,
        ErrorCode::Unsupported => ErrorKind::Unsupported,
        ErrorCode::AlreadyExists => ErrorKind::AlreadyExists,
        ErrorCode::Cancelled => ErrorKind::Cancelled,
        ErrorCode::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        ErrorCode::ResourceExhausted => ErrorKind::ResourceExhausted,
        ErrorCode::Permission => ErrorKind::Permission,
        ErrorCode::Internal => ErrorKind::Internal,
    };
    InferError::new(kind, shortened(&error.message))
}

/// The beginning of a text that a guest chose the length of.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

pub(crate) fn parameters_out(parameters: &Parameters) -> Vec<Parameter> {
    let value = |value: &ParameterValue| match value {
        ParameterValue::Bool(value) => Value::Boolean(*value),
        ParameterValue::Int(value) => Value::Int(*value),
        ParameterValue::Uint(value) => Value::Uint(*value),
        ParameterValue::Double(value) => Value::Double(*value),
        ParameterValue::String(value) => Value::Text(value.clone()),
    };
    parameters.iter().map(|(name, found)| Parameter { name: name.to_owned(), value: value(found) }).collect()
}

pub(crate) fn parameters_in(parameters: Vec<Parameter>) -> Parameters {
    parameters.into_iter().map(|parameter| (parameter.name, value_in(parameter.value))).collect()
}

pub(crate) fn value_in(value: Value) -> ParameterValue {
    match value {
        Value::Boolean(value) => ParameterValue::Bool(value),
        Value::Int(value) => ParameterValue::Int(value),
        Value::Uint(value) => ParameterValue::Uint(value),
        Value::Double(value) => ParameterValue::Double(value),
        Value::Text(value) => ParameterValue::String(value),
    }
}

pub(crate) fn sequence_out(flags: &SequenceFlags) -> Sequence {
    let id = match &flags.id {
        DomainId::Number(number) => SequenceId::Number(*number),
        DomainId::Text(text) => SequenceId::Text(text.clone()),
    };
    Sequence { id, start: flags.start, end: flags.end }
}

/// Where a guest's call stands in a sequence of another model.
///
/// # Errors
/// An id that no client could send either.
pub(crate) fn sequence_in(sequence: Sequence) -> Result<SequenceFlags, InferError> {
    let id = match sequence.id {
        SequenceId::Number(0) => return Err(InferError::invalid_argument("a sequence's id cannot be 0")),
        SequenceId::Number(number) => DomainId::Number(number),
        SequenceId::Text(text) if (1..=SEQUENCE_ID_CHARS_MAX).contains(&text.chars().count()) => DomainId::Text(text),
        SequenceId::Text(text) => {
            let found = text.chars().count();
            return Err(InferError::invalid_argument(format!(
                "a sequence's id has {found} characters, expected 1 to {SEQUENCE_ID_CHARS_MAX}"
            )));
        }
    };
    Ok(SequenceFlags { id, start: sequence.start, end: sequence.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_type_goes_there_and_back() {
        for expected in DataType::ALL {
            assert_eq!(data_type(dtype(expected)), expected);
        }
    }

    #[test]
    fn an_error_keeps_its_kind_and_loses_only_excess_text() {
        let there = error(InferError::not_found("x".repeat(5000)));
        let back = infer_error(there);
        assert_eq!(back.kind(), ErrorKind::NotFound);
        assert_eq!(back.message().chars().count(), MESSAGE_CHARS_MAX + 1);
    }
}
