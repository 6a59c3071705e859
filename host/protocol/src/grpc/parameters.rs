//! Request parameters: those that the protocol reserves, and those that go to the model.
//!
//! Refuses, with `InvalidArgument` in Triton's words, a reserved key with a value of the wrong type, unknown keys that
//! start with `triton_`, and values that models cannot be given.

use std::{collections::BTreeMap, time::Duration};

use nereid_inference::{InferError, ParameterValue, Parameters, SequenceFlags, SequenceId};

use super::proto::{InferParameter, infer_parameter::ParameterChoice};

/// Characters in a sequence id that is a text; Triton's limit.
pub const SEQUENCE_ID_CHARACTERS_MAX: usize = 128;

/// Keys with this prefix belong to the protocol.
const PROTOCOL_PREFIX: &str = "triton_";
const EMPTY_FINAL_RESPONSE: &str = "triton_enable_empty_final_response";

/// A request's parameters, sorted by who reads them.
#[derive(Debug, Default)]
pub(super) struct RequestParameters {
    pub(super) sequence: Option<SequenceFlags>,
    pub(super) priority: u64,
    pub(super) timeout: Option<Duration>,
    /// The client wants to be told the end of its responses even when no response carries it.
    pub(super) empty_final_response: bool,
    /// What the protocol does not reserve.
    pub(super) custom: Parameters,
}

/// Sorts the parameters of a request.
pub(super) fn decode_parameters(parameters: BTreeMap<String, InferParameter>) -> Result<RequestParameters, InferError> {
    let mut decoded = RequestParameters::default();
    let (mut sequence_id, mut start, mut end) = (None, false, false);
    for (key, InferParameter { parameter_choice: value }) in parameters {
        match key.as_str() {
            "sequence_id" => sequence_id = decode_sequence_id(value)?,
            "sequence_start" => start = decode_bool(&key, value)?,
            "sequence_end" => end = decode_bool(&key, value)?,
            "priority" => decoded.priority = decode_priority(value)?,
            "timeout" => decoded.timeout = decode_timeout(value)?,
            EMPTY_FINAL_RESPONSE => decoded.empty_final_response = decode_bool(&key, value)?,
            reserved if reserved.starts_with(PROTOCOL_PREFIX) => return Err(reserved_key()),
            _ => {
                let value = decode_custom(&key, value)?;
                decoded.custom.insert(key, value);
            }
        }
    }
    // Flags without an id are kept: a model that wants sequences says what is missing.
    let is_sequence = start || end || sequence_id.is_some();
    let id = sequence_id.unwrap_or(SequenceId::Number(0));
    decoded.sequence = is_sequence.then_some(SequenceFlags { id, start, end });
    Ok(decoded)
}

/// Writes parameters that a model returned.
pub(super) fn encode_parameters(parameters: &Parameters) -> BTreeMap<String, InferParameter> {
    parameters.iter().map(|(key, value)| (key.to_owned(), encode_value(value))).collect()
}

/// A boolean parameter.
pub(super) fn bool_parameter(value: bool) -> InferParameter {
    InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(value)) }
}

fn encode_value(value: &ParameterValue) -> InferParameter {
    let choice = match value {
        ParameterValue::Bool(value) => ParameterChoice::BoolParam(*value),
        ParameterValue::Int(value) => ParameterChoice::Int64Param(*value),
        ParameterValue::Uint(value) => ParameterChoice::Uint64Param(*value),
        ParameterValue::Double(value) => ParameterChoice::DoubleParam(*value),
        ParameterValue::String(value) => ParameterChoice::StringParam(value.clone()),
    };
    InferParameter { parameter_choice: Some(choice) }
}

/// Zero and the empty text mean "no sequence".
fn decode_sequence_id(value: Option<ParameterChoice>) -> Result<Option<SequenceId>, InferError> {
    match value {
        // The wire has no unsigned choice here: ids beyond 2^63 arrive as negative numbers.
        Some(ParameterChoice::Int64Param(id)) => Ok((id != 0).then_some(SequenceId::Number(id.cast_unsigned()))),
        Some(ParameterChoice::StringParam(id)) if id.chars().count() > SEQUENCE_ID_CHARACTERS_MAX => {
            Err(InferError::invalid_argument(format!(
                "string correlation ID cannot be longer than {SEQUENCE_ID_CHARACTERS_MAX} characters, got {}",
                id.chars().count()
            )))
        }
        Some(ParameterChoice::StringParam(id)) => Ok((!id.is_empty()).then_some(SequenceId::Text(id))),
        _ => Err(wrong_type("sequence_id", "int64_param or string_param")),
    }
}

fn decode_priority(value: Option<ParameterChoice>) -> Result<u64, InferError> {
    match value {
        Some(ParameterChoice::Uint64Param(priority)) => Ok(priority),
        Some(ParameterChoice::Int64Param(priority)) => u64::try_from(priority).map_err(|_| negative("priority")),
        _ => Err(wrong_type("priority", "int64_param or uint64_param")),
    }
}

/// Microseconds; zero leaves the timeout to the model.
fn decode_timeout(value: Option<ParameterChoice>) -> Result<Option<Duration>, InferError> {
    let Some(ParameterChoice::Int64Param(timeout_us)) = value else {
        return Err(wrong_type("timeout", "int64_param"));
    };
    let timeout_us = u64::try_from(timeout_us).map_err(|_| negative("timeout"))?;
    Ok((timeout_us > 0).then_some(Duration::from_micros(timeout_us)))
}

fn decode_bool(key: &str, value: Option<ParameterChoice>) -> Result<bool, InferError> {
    match value {
        Some(ParameterChoice::BoolParam(value)) => Ok(value),
        _ => Err(wrong_type(key, "bool_param")),
    }
}

fn decode_custom(key: &str, value: Option<ParameterChoice>) -> Result<ParameterValue, InferError> {
    match value {
        Some(ParameterChoice::BoolParam(value)) => Ok(ParameterValue::Bool(value)),
        Some(ParameterChoice::Int64Param(value)) => Ok(ParameterValue::Int(value)),
        Some(ParameterChoice::StringParam(value)) => Ok(ParameterValue::String(value)),
        Some(ParameterChoice::DoubleParam(value)) => Ok(ParameterValue::Double(value)),
        // Triton refuses unsigned values here and, though it takes doubles, does not name them.
        Some(ParameterChoice::Uint64Param(_)) | None => {
            Err(wrong_type(key, "int64_param, bool_param, or string_param"))
        }
    }
}

fn wrong_type(key: &str, expected: &str) -> InferError {
    InferError::invalid_argument(format!("invalid value type for '{key}' parameter, expected {expected}."))
}

fn negative(key: &str) -> InferError {
    InferError::invalid_argument(format!("invalid value for '{key}', expected value >= 0."))
}

fn reserved_key() -> InferError {
    InferError::invalid_argument(format!(
        "parameter keys starting with '{PROTOCOL_PREFIX}' are reserved for Triton usage. Only the following keys \
         starting with '{PROTOCOL_PREFIX}' are allowed: {EMPTY_FINAL_RESPONSE}"
    ))
}

#[cfg(test)]
mod tests;
