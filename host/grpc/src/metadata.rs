//! What is served: the server, a model's tensors, a model's configuration.

use nereid_inference::InferError;
use nereid_protocol::{
    EXTENSIONS,
    grpc::{
        encode_model_metadata, encode_server_metadata, parse_version,
        proto::{
            ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse,
            ServerMetadataResponse,
        },
    },
};

use crate::frontend::Running;

pub(crate) fn server_metadata(running: &Running) -> ServerMetadataResponse {
    let settings = &running.settings;
    encode_server_metadata(&settings.server_id, &settings.server_version, &EXTENSIONS)
}

/// The versions shown are those that are ready, or the one asked for.
pub(crate) fn model_metadata(
    running: &Running,
    request: &ModelMetadataRequest,
) -> Result<ModelMetadataResponse, InferError> {
    let version = parse_version(&request.version)?;
    let model = running.service.model(&request.name, version)?;
    let versions = match version {
        Some(version) => vec![version],
        None => running.service.ready_models(Some(&request.name)).iter().map(|m| m.identity().version).collect(),
    };
    Ok(encode_model_metadata(&*model, &versions))
}

/// The effective configuration.
pub(crate) fn model_config(running: &Running, request: &ModelConfigRequest) -> Result<ModelConfigResponse, InferError> {
    let model = running.model(&request.name, &request.version)?;
    Ok(ModelConfigResponse { config: Some(nereid_config::to_proto(model.config())) })
}
