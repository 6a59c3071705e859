//! Bodies of the model repository extension. All of them may be empty.

use nereid_inference::InferError;
use serde::Deserialize;

use super::{
    scalar::{Object, Scalar},
    wire::parse_json,
};

#[derive(Deserialize)]
struct IndexBody<'a> {
    #[serde(borrow)]
    ready: Option<Scalar<'a>>,
}

#[derive(Deserialize)]
struct ControlBody<'a> {
    #[serde(borrow)]
    parameters: Option<Object<'a>>,
}

/// Whether the index is to list ready models only.
///
/// # Errors
/// Malformed JSON, or `ready` is no boolean.
pub fn decode_index_request(body: &[u8]) -> Result<bool, InferError> {
    if body.is_empty() {
        return Ok(false);
    }
    let body: IndexBody<'_> = parse_json(body)?;
    body.ready.map_or(Ok(false), |ready| ready.boolean("ready"))
}

/// Checks that a load asks for nothing but a load.
///
/// # Errors
/// Malformed JSON, a configuration or file override, or a parameter that Triton does not know either.
pub fn decode_load_request(body: &[u8]) -> Result<(), InferError> {
    let Some(parameters) = control_parameters(body)? else { return Ok(()) };
    match parameters.into_entries("parameters")?.first() {
        None => Ok(()),
        Some((name, _)) if name == "config" || name.starts_with("file:") => Err(InferError::unsupported(format!(
            "load parameter '{name}' is not offered by this server; change the model repository and load without it"
        ))),
        Some(_) => Err(InferError::internal("unexpected error on creating Triton parameter")),
    }
}

/// Whether models that only this one uses are to be unloaded too.
///
/// # Errors
/// Malformed JSON, or `unload_dependents` is no boolean.
pub fn decode_unload_request(body: &[u8]) -> Result<bool, InferError> {
    let parameters = control_parameters(body)?;
    let unload_dependents = parameters.as_ref().and_then(|parameters| parameters.get("unload_dependents"));
    unload_dependents.map_or(Ok(false), |value| value.boolean("unload_dependents"))
}

fn control_parameters(body: &[u8]) -> Result<Option<Object<'_>>, InferError> {
    if body.is_empty() {
        return Ok(None);
    }
    parse_json::<ControlBody<'_>>(body).map(|body| body.parameters)
}
