//! `/v2/health/…` and the readiness of one model: a status and nothing else.

use std::sync::Arc;

use axum::extract::State;
use http::{Response, StatusCode};
use nereid_inference::ServerState;

use crate::{
    FrameBody, HttpFrontend,
    error::{empty_response, error_response},
    model_path::ModelTarget,
};

/// `GET /v2/health/live`. A server that still loads its models is alive: killing it would only start that again.
pub(crate) async fn live(State(frontend): State<Arc<HttpFrontend>>) -> Response<FrameBody> {
    match frontend.service.server_state() {
        ServerState::Exiting => exiting(),
        ServerState::Starting | ServerState::Ready | ServerState::NotReady => empty_response(StatusCode::OK),
    }
}

/// `GET /v2/health/ready`.
pub(crate) async fn ready(State(frontend): State<Arc<HttpFrontend>>) -> Response<FrameBody> {
    match frontend.service.server_state() {
        ServerState::Exiting => exiting(),
        ServerState::Ready => empty_response(StatusCode::OK),
        ServerState::Starting | ServerState::NotReady => empty_response(StatusCode::BAD_REQUEST),
    }
}

/// `GET /v2/models/{m}[/versions/{v}]/ready`. An unknown model is not ready, as in Triton's releases; nor is one whose
/// backend says so.
pub(crate) async fn model_ready(State(frontend): State<Arc<HttpFrontend>>, target: ModelTarget) -> Response<FrameBody> {
    match frontend.service.ready_model(&target.model, target.version) {
        Ok(_) => empty_response(StatusCode::OK),
        Err(_) => empty_response(StatusCode::BAD_REQUEST),
    }
}

fn exiting() -> Response<FrameBody> {
    error_response(StatusCode::SERVICE_UNAVAILABLE, "Server exiting")
}
