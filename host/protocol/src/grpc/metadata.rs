//! What the server and its models say about themselves.

use nereid_inference::{ServedModel, TensorSpec};

use super::proto::{ModelMetadataResponse, ServerMetadataResponse, model_metadata_response::TensorMetadata};

/// Names the server and the protocol extensions that it serves.
pub fn encode_server_metadata(name: &str, version: &str, extensions: &[&str]) -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: name.to_owned(),
        version: version.to_owned(),
        extensions: extensions.iter().map(|extension| (*extension).to_owned()).collect(),
    }
}

/// Names a model's versions and tensors; shapes show the batch dimension as -1.
pub fn encode_model_metadata(model: &dyn ServedModel, versions: &[u64]) -> ModelMetadataResponse {
    let config = model.config();
    let signature = model.signature();
    let platform = if config.platform.is_empty() { &config.backend } else { &config.platform };
    let tensors = |specs: &[TensorSpec]| specs.iter().map(|spec| tensor(spec, config.has_batching())).collect();
    ModelMetadataResponse {
        name: model.identity().name.as_ref().to_owned(),
        versions: versions.iter().map(ToString::to_string).collect(),
        platform: platform.clone(),
        inputs: tensors(&signature.inputs),
        outputs: tensors(&signature.outputs),
    }
}

fn tensor(spec: &TensorSpec, batched: bool) -> TensorMetadata {
    TensorMetadata {
        name: spec.name.as_ref().to_owned(),
        datatype: spec.data_type.name().to_owned(),
        shape: spec.wire_dims(batched),
    }
}
