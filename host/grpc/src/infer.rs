//! `ModelInfer`: one request, one response.
//!
//! Costs nothing beyond the conversions: no task, no queue. When the client goes away the future is dropped, and the
//! response stream in it, which cancels the request.

use std::time::Instant;

use http::HeaderMap;
use nereid_inference::{InferError, SharedTenant, infer_for};
use nereid_protocol::grpc::{
    DecodedRequest, check_response_size, decode_infer_request, encode_infer_response,
    proto::{ModelInferRequest, ModelInferResponse},
};
use nereid_telemetry::RequestLine;
use tonic::Response;

use crate::{error::outcome, forwarding, frontend::Running, trace::GrpcTrace};

pub(crate) async fn model_infer(
    running: &Running,
    (headers, tenant): (&HeaderMap, SharedTenant),
    message: ModelInferRequest,
) -> Result<Response<ModelInferResponse>, InferError> {
    let mut line = RequestLine::begin("gRPC infer", &message.model_name);
    let answer = answer(running, (headers, tenant), message, &mut line).await;
    line.end(outcome(&answer));
    answer
}

async fn answer(
    running: &Running,
    (headers, tenant): (&HeaderMap, SharedTenant),
    message: ModelInferRequest,
    line: &mut RequestLine,
) -> Result<Response<ModelInferResponse>, InferError> {
    let received = Instant::now();
    let model = running.model(&message.model_name, &message.model_version)?;
    if model.config().is_decoupled() {
        return Err(InferError::unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy"));
    }
    let trace = GrpcTrace::start(running, model.identity(), headers, received);
    let decoded = decode_infer_request(message, received, &running.shared_memory)?;
    let DecodedRequest { mut request, classes, shared, .. } = decoded;
    let forwarded = forwarding::forwarded(running.settings.forwarded_headers.as_ref(), headers)?;
    forwarding::add(&forwarded, &mut request.parameters);
    request.trace = trace.handle();
    let id = request.id.clone();
    line.identify(model.identity().version, &id);
    let response = infer_for(&tenant, &*model, request).single().await;
    trace.response_complete();
    let response = classes.apply(shared.settle(response)?, model.as_ref())?;
    let message = encode_infer_response(model.identity(), id, (response, &shared));
    check_response_size(&message, running.settings.limits.message_bytes_max)?;
    let mut response = Response::new(message);
    if let Some(sending) = trace.sending() {
        response.extensions_mut().insert(sending);
    }
    Ok(response)
}
