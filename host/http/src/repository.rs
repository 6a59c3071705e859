//! `POST /v2/repository/…`: index, load, unload.
//!
//! Loading takes as long as the model needs, hence it runs on a thread that may block. A client that goes away does not
//! stop a load that has begun: half a load is of no use to anybody.

use std::{pin::pin, sync::Arc};

use axum::{
    body::Body as AxumBody,
    extract::{Path, State},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use nereid_inference::{InferError, LoadOverrides, ModelControl, ModelState};
use nereid_protocol::http::{decode_index_request, decode_load_request, decode_unload_request, encode_index};

use crate::{
    FrameBody, HttpFrontend,
    body::{BodyLimits, gather},
    error::{Refusal, empty_response, error_response, json_response},
};

/// Who asks, in a model's history.
pub(crate) const REQUESTED_BY: &str = "http";

/// `POST /v2/repository/index` and `POST /v2/repository/{repository}/index`; the repository's name changes nothing.
pub(crate) async fn index(
    State(frontend): State<Arc<HttpFrontend>>,
    request: Request<AxumBody>,
) -> Result<Response<FrameBody>, Refusal> {
    let ready_only = decode_index_request(&read(&frontend, request).await?)?;
    let mut entries = blocking(&frontend, |control| Ok(control.index())).await?;
    entries.retain(|entry| !ready_only || entry.state == Some(ModelState::Ready));
    Ok(json_response(encode_index(&entries)))
}

/// `POST /v2/repository/models/{m}/load`; answers when the model is ready or has failed.
pub(crate) async fn load(
    State(frontend): State<Arc<HttpFrontend>>,
    Path(model): Path<String>,
    request: Request<AxumBody>,
) -> Result<Response<FrameBody>, Refusal> {
    let body = read(&frontend, request).await?;
    if model.contains('/') {
        return Ok(error_response(StatusCode::NOT_FOUND, "Not Found"));
    }
    // Decoding the base64 of a large file takes its time too.
    let load = move |control: &dyn ModelControl| {
        let overrides = decode_load_request(&body)?;
        control.load(&model, LoadOverrides { requested_by: REQUESTED_BY.to_owned(), ..overrides })
    };
    blocking(&frontend, load).await?;
    Ok(empty_response(StatusCode::OK))
}

/// `POST /v2/repository/models/{m}/unload`; answers when the unload has begun.
pub(crate) async fn unload(
    State(frontend): State<Arc<HttpFrontend>>,
    Path(model): Path<String>,
    request: Request<AxumBody>,
) -> Result<Response<FrameBody>, Refusal> {
    let unload_dependents = decode_unload_request(&read(&frontend, request).await?)?;
    if model.contains('/') {
        return Ok(error_response(StatusCode::NOT_FOUND, "Not Found"));
    }
    blocking(&frontend, move |control| control.unload(&model, unload_dependents)).await?;
    Ok(empty_response(StatusCode::OK))
}

/// Load and unload in a repository that is named.
pub(crate) async fn named_repository() -> Refusal {
    InferError::unsupported("'repository_name' specification is not supported").into()
}

async fn read(frontend: &HttpFrontend, request: Request<AxumBody>) -> Result<Bytes, Refusal> {
    gather(pin!(request.into_body()), BodyLimits::new(&frontend.settings), 0).await
}

pub(crate) async fn blocking<T: Send + 'static>(
    frontend: &HttpFrontend,
    act: impl FnOnce(&dyn ModelControl) -> Result<T, InferError> + Send + 'static,
) -> Result<T, InferError> {
    let control = frontend.control.clone();
    let outcome = tokio::task::spawn_blocking(move || act(control.as_ref())).await;
    outcome.unwrap_or_else(|error| Err(InferError::internal("the model repository panicked").with_source(error)))
}
