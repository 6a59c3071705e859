//! `GET /v2` and `GET /v2/models/{m}[/versions/{v}]`.

use std::sync::Arc;

use axum::extract::State;
use http::Response;
use nereid_protocol::http::{ServerIdentity, encode_model_metadata, encode_server_metadata};

use crate::{
    FrameBody, HttpFrontend,
    error::{Refusal, json_response},
    model_path::ModelTarget,
};

/// `GET /v2`.
pub(crate) async fn server(State(frontend): State<Arc<HttpFrontend>>) -> Response<FrameBody> {
    let settings = &frontend.settings;
    let server = ServerIdentity { id: &settings.server_id, version: &settings.server_version };
    json_response(encode_server_metadata(server))
}

/// `GET /v2/models/{m}[/versions/{v}]`; `versions` are all ready ones, or the one asked for.
pub(crate) async fn model(
    State(frontend): State<Arc<HttpFrontend>>,
    target: ModelTarget,
) -> Result<Response<FrameBody>, Refusal> {
    let model = frontend.service.model(&target.model, target.version)?;
    let versions = match target.version {
        Some(_) => vec![model.identity().clone()],
        None => {
            let ready = frontend.service.ready_models(Some(&target.model));
            ready.iter().map(|model| model.identity().clone()).collect()
        }
    };
    Ok(json_response(encode_model_metadata(model.as_ref(), &versions)))
}
