//! `GET /v2/models/{m}[/versions/{v}]/config`: the configuration in effect, with what was completed.

use std::sync::Arc;

use axum::extract::State;
use http::Response;
use nereid_protocol::http::encode_config;

use crate::{
    FrameBody, HttpFrontend,
    error::{Refusal, json_response},
    model_path::ModelTarget,
};

/// The configuration of the version asked for, or of the latest ready one.
pub(crate) async fn model(
    State(frontend): State<Arc<HttpFrontend>>,
    target: ModelTarget,
) -> Result<Response<FrameBody>, Refusal> {
    let model = frontend.service.model(&target.model, target.version)?;
    Ok(json_response(encode_config(model.config())))
}
