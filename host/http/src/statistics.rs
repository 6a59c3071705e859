//! `GET /v2/models/stats` and `GET /v2/models/{m}[/versions/{v}]/stats`.

use std::sync::Arc;

use axum::extract::State;
use http::Response;
use nereid_inference::{ErrorKind, InferError, ModelStatistics, ServedModel};
use nereid_protocol::http::encode_statistics;

use crate::{
    FrameBody, HttpFrontend,
    error::{Refusal, json_response},
    model_path::ModelTarget,
};

/// Every ready version of every model.
pub(crate) async fn all(State(frontend): State<Arc<HttpFrontend>>) -> Response<FrameBody> {
    encode(&frontend.service.ready_models(None))
}

/// Every ready version of one model, or one version.
pub(crate) async fn model(
    State(frontend): State<Arc<HttpFrontend>>,
    target: ModelTarget,
) -> Result<Response<FrameBody>, Refusal> {
    Ok(encode(&ready(&frontend, &target)?))
}

/// The ready versions that a path names.
///
/// # Errors
/// There is none.
pub(crate) fn ready(frontend: &HttpFrontend, target: &ModelTarget) -> Result<Vec<Arc<dyn ServedModel>>, InferError> {
    let name = &target.model;
    let mut models = frontend.service.ready_models(Some(name));
    if models.is_empty() {
        // With namespacing, a name that is unknown or ambiguous.
        let unfound =
            frontend.service.model(name, None).err().filter(|error| error.kind() == ErrorKind::InvalidArgument);
        let not_ready = || InferError::invalid_argument(format!("requested model '{name}' is not available"));
        return Err(unfound.unwrap_or_else(not_ready));
    }
    if let Some(version) = target.version {
        models.retain(|model| model.identity().version == version);
    }
    if models.is_empty() {
        let text = format!("requested model version is not available for model '{name}'");
        return Err(InferError::invalid_argument(text));
    }
    Ok(models)
}

fn encode(models: &[Arc<dyn ServedModel>]) -> Response<FrameBody> {
    let statistics: Vec<ModelStatistics> = models.iter().map(|model| model.statistics()).collect();
    json_response(encode_statistics(&statistics))
}
