//! What the server says about itself and its models: metadata, configuration, repository index, errors.

use nereid_inference::{IndexEntry, ModelConfig, ModelIdentity, ModelState, ServedModel, Signature, TensorSpec};
use serde::Serialize;

use crate::EXTENSIONS;

/// How the server introduces itself.
#[derive(Clone, Copy, Debug)]
pub struct ServerIdentity<'a> {
    pub id: &'a str,
    pub version: &'a str,
}

#[derive(Serialize)]
struct ServerMetadata<'a> {
    name: &'a str,
    version: &'a str,
    extensions: &'a [&'a str],
}

#[derive(Serialize)]
struct ModelMetadata<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: &'a str,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
}

#[derive(Serialize)]
struct TensorMetadata<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<i64>,
}

#[derive(Serialize)]
struct IndexRow<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
}

/// The answer to `GET /v2`.
pub fn encode_server_metadata(server: ServerIdentity<'_>) -> Vec<u8> {
    to_json(&ServerMetadata { name: server.id, version: server.version, extensions: &EXTENSIONS })
}

/// The answer to `GET /v2/models/{m}`; `versions` are those that it is about.
pub fn encode_model_metadata(model: &dyn ServedModel, versions: &[ModelIdentity]) -> Vec<u8> {
    let config = model.config();
    let signature = model.signature();
    to_json(&ModelMetadata {
        name: &model.identity().name,
        versions: versions.iter().map(|identity| identity.version.to_string()).collect(),
        platform: platform(config),
        inputs: describe(&signature.inputs, signature),
        outputs: describe(&signature.outputs, signature),
    })
}

/// The answer to `GET /v2/models/{m}/config`.
pub fn encode_config(config: &ModelConfig) -> Vec<u8> {
    nereid_config::to_json(config).into_bytes()
}

/// The answer to `POST /v2/repository/index`.
pub fn encode_index(entries: &[IndexEntry]) -> Vec<u8> {
    to_json(&entries.iter().map(index_row).collect::<Vec<_>>())
}

/// The body of every answer that is not a success.
pub fn encode_error(message: &str) -> Vec<u8> {
    to_json(&ErrorBody { error: message })
}

/// JSON of a value that consists of strings, numbers and lists, which serde can always write.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn index_row(entry: &IndexEntry) -> IndexRow<'_> {
    IndexRow {
        name: &entry.name,
        version: entry.version.map(|version| version.to_string()),
        state: entry.state.map(ModelState::name),
        reason: Some(entry.reason.as_str()).filter(|reason| !reason.is_empty()),
    }
}

fn platform(config: &ModelConfig) -> &str {
    if config.platform.is_empty() { &config.backend } else { &config.platform }
}

fn describe<'a>(specs: &'a [TensorSpec], signature: &Signature) -> Vec<TensorMetadata<'a>> {
    let batched = signature.max_batch_size > 0;
    let describe_one = |spec: &'a TensorSpec| TensorMetadata {
        name: &spec.name,
        datatype: spec.data_type.name(),
        shape: spec.wire_dims(batched),
    };
    specs.iter().map(describe_one).collect()
}
