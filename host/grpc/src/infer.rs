//! `ModelInfer`: one request, one response.
//!
//! Costs nothing beyond the conversions: no task, no queue. When the client goes away the future is dropped, and the
//! response stream in it, which cancels the request.

use std::time::Instant;

use http::HeaderMap;
use nereid_inference::InferError;
use nereid_protocol::grpc::{
    DecodedRequest, check_response_size, decode_infer_request, encode_infer_response,
    proto::{ModelInferRequest, ModelInferResponse},
};

use crate::{forwarding, frontend::Running};

pub(crate) async fn model_infer(
    running: &Running,
    headers: &HeaderMap,
    message: ModelInferRequest,
) -> Result<ModelInferResponse, InferError> {
    let received = Instant::now();
    let model = running.model(&message.model_name, &message.model_version)?;
    if model.config().is_decoupled() {
        return Err(InferError::unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy"));
    }
    let decoded = decode_infer_request(message, received, &running.shared_memory)?;
    let DecodedRequest { mut request, classes, shared, .. } = decoded;
    let forwarded = forwarding::forwarded(running.settings.forwarded_headers.as_ref(), headers)?;
    forwarding::add(&forwarded, &mut request.parameters);
    let id = request.id.clone();
    let response = shared.settle(model.infer(request).single().await)?;
    let response = classes.apply(response, model.as_ref())?;
    let message = encode_infer_response(model.identity(), id, (response, &shared));
    check_response_size(&message, running.settings.limits.message_bytes_max)?;
    Ok(message)
}
