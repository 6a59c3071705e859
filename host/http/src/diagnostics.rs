//! `/v2/trace/setting`, `/v2/models/{m}/trace/setting` and `/v2/logging`: what is traced and logged, shown and changed.

use std::{pin::pin, sync::Arc};

use axum::{body::Body as AxumBody, extract::State};
use bytes::Bytes;
use http::{Request, Response};
use nereid_inference::InferError;
use nereid_protocol::http::{decode_log_change, decode_trace_change, encode_log_settings, encode_trace_settings};

use crate::{
    FrameBody, HttpFrontend,
    body::{BodyLimits, gather},
    error::{Refusal, json_response},
    model_path::ModelTarget,
};

type Answer = Result<Response<FrameBody>, Refusal>;

/// `GET /v2/trace/setting`.
pub(crate) async fn trace_settings(State(frontend): State<Arc<HttpFrontend>>) -> Response<FrameBody> {
    shown(&frontend, None)
}

/// `POST /v2/trace/setting`.
pub(crate) async fn change_trace_settings(
    State(frontend): State<Arc<HttpFrontend>>,
    request: Request<AxumBody>,
) -> Answer {
    let change = decode_trace_change(&read(&frontend, request).await?)?;
    frontend.diagnostics.change_trace_settings(None, &change)?;
    Ok(shown(&frontend, None))
}

/// `GET /v2/models/{m}/trace/setting`.
pub(crate) async fn model_trace_settings(State(frontend): State<Arc<HttpFrontend>>, target: ModelTarget) -> Answer {
    let model = known(&frontend, &target)?;
    Ok(shown(&frontend, Some(model)))
}

/// `POST /v2/models/{m}/trace/setting`.
pub(crate) async fn change_model_trace_settings(
    State(frontend): State<Arc<HttpFrontend>>,
    target: ModelTarget,
    request: Request<AxumBody>,
) -> Answer {
    let body = read(&frontend, request).await?;
    let model = known(&frontend, &target)?;
    frontend.diagnostics.change_trace_settings(Some(model), &decode_trace_change(&body)?)?;
    Ok(shown(&frontend, Some(model)))
}

/// `GET /v2/logging`.
pub(crate) async fn log_settings(State(frontend): State<Arc<HttpFrontend>>) -> Response<FrameBody> {
    json_response(encode_log_settings(&frontend.diagnostics.log_settings()))
}

/// `POST /v2/logging`.
pub(crate) async fn change_log_settings(
    State(frontend): State<Arc<HttpFrontend>>,
    request: Request<AxumBody>,
) -> Answer {
    let change = decode_log_change(&read(&frontend, request).await?)?;
    frontend.diagnostics.change_log_settings(&change);
    Ok(json_response(encode_log_settings(&frontend.diagnostics.log_settings())))
}

fn shown(frontend: &HttpFrontend, model: Option<&str>) -> Response<FrameBody> {
    json_response(encode_trace_settings(&frontend.diagnostics.trace_settings(model)))
}

/// The model's name, when it is served.
fn known<'a>(frontend: &HttpFrontend, target: &'a ModelTarget) -> Result<&'a str, InferError> {
    let unknown = |_| InferError::invalid_argument(format!("Request for unknown model : {}", target.model));
    frontend.service.model(&target.model, None).map(|_| target.model.as_str()).map_err(unknown)
}

async fn read(frontend: &HttpFrontend, request: Request<AxumBody>) -> Result<Bytes, Refusal> {
    gather(pin!(request.into_body()), BodyLimits::new(&frontend.settings), 0).await
}
