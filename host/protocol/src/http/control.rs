//! Bodies of the model repository extension. All of them may be empty.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use nereid_inference::{InferError, LoadOverrides};
use serde::Deserialize;

use super::{
    scalar::{Object, Scalar},
    wire::parse_json,
};

/// What the name of a file parameter begins with.
const FILE_PREFIX: &str = "file:";

/// Whether the files are laid over those of the model as it is; ours.
const OVERLAY: &str = "overlay";

const STANDARD_PADDING_INDIFFERENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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

/// What a load brings along: a configuration as JSON text, files in base64.
///
/// # Errors
/// Malformed JSON, base64 that is none, or a parameter that Triton does not know either.
pub fn decode_load_request(body: &[u8]) -> Result<LoadOverrides, InferError> {
    let mut overrides = LoadOverrides::default();
    let Some(parameters) = control_parameters(body)? else { return Ok(overrides) };
    for (name, value) in parameters.into_entries("parameters")? {
        if name == OVERLAY {
            overrides.overlay = value.boolean(&name)?;
            continue;
        }
        let text = value.text(&name)?;
        if name == "config" {
            overrides.config = Some(text.to_owned());
        } else if let Some(path) = name.strip_prefix(FILE_PREFIX) {
            overrides.files.insert(path.to_owned(), decode_file(&name, text)?);
        } else {
            return Err(InferError::internal("unexpected error on creating Triton parameter"));
        }
    }
    Ok(overrides)
}

/// Encoders of the C library that Triton uses break lines; those are passed over.
fn decode_file(name: &str, text: &str) -> Result<Bytes, InferError> {
    let is_whole = !text.bytes().any(|byte| byte.is_ascii_whitespace());
    let decoded = if is_whole {
        STANDARD_PADDING_INDIFFERENT.decode(text)
    } else {
        STANDARD_PADDING_INDIFFERENT.decode(text.split_ascii_whitespace().collect::<String>())
    };
    decoded.map(Bytes::from).map_err(|error| {
        InferError::invalid_argument(format!("load parameter '{name}' has invalid content, expected base64: {error}"))
    })
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
