//! `GET /v2/debug/models/{m}/generations`: who put what in a model's place, when, and what became of it; and
//! `POST /v2/repository/models/{m}/rollback`, which serves the generation before.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::{Response, StatusCode};
use nereid_protocol::http::encode_history;

use crate::{
    FrameBody, HttpFrontend,
    error::{Refusal, empty_response, error_response, json_response},
    repository::{REQUESTED_BY, blocking},
};

/// The generations that are remembered of every model of that name.
pub(crate) async fn history(
    State(frontend): State<Arc<HttpFrontend>>,
    Path(model): Path<String>,
) -> Result<Response<FrameBody>, Refusal> {
    if model.contains('/') {
        return Ok(error_response(StatusCode::NOT_FOUND, "Not Found"));
    }
    let histories = blocking(&frontend, move |control| control.history(&model)).await?;
    Ok(json_response(encode_history(&histories)))
}

/// Answers when the generation before is served.
pub(crate) async fn roll_back(
    State(frontend): State<Arc<HttpFrontend>>,
    Path(model): Path<String>,
) -> Result<Response<FrameBody>, Refusal> {
    if model.contains('/') {
        return Ok(error_response(StatusCode::NOT_FOUND, "Not Found"));
    }
    blocking(&frontend, move |control| control.roll_back(&model, REQUESTED_BY)).await?;
    Ok(empty_response(StatusCode::OK))
}
