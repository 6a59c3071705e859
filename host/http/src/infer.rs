//! `POST /v2/models/{m}[/versions/{v}]/infer`, the path that must be fast.
//!
//! Checks run in Triton's order: version, model, decoupled, encoding, length, header length, body. Hence an unknown model
//! wins over a malformed body. The server calls [`infer`] before it asks the router; the router has the same route for
//! those who use it without a socket.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Instant,
};

use axum::{
    body::Body as AxumBody,
    extract::{Request as AxumRequest, State},
    response::Response as AxumResponse,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use nereid_access::OnAccount;
use nereid_inference::{InferError, ServedModel, infer_for};
use nereid_protocol::http::{
    DecodedRequest, HeaderLength, INFERENCE_HEADER_CONTENT_LENGTH, InferBody, OutputFormats, RequestContext,
    ResponseContext, decode_infer_request, decode_raw_infer_request, encode_infer_response,
};
use nereid_telemetry::RequestLine;

use crate::{
    FrameBody, HttpFrontend, blocking,
    body::{BodyLimits, gather},
    compression::{Unpacked, compress, decompress, request_coding, response_coding},
    error::{Refusal, error_response, json_response},
    model_path::ModelPath,
    refusal::refuse,
    trace::HttpTrace,
};

const HEADER_LENGTH: HeaderName = HeaderName::from_static(INFERENCE_HEADER_CONTENT_LENGTH);
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The router's entrance.
pub(crate) async fn handle(State(frontend): State<Arc<HttpFrontend>>, request: AxumRequest) -> AxumResponse {
    let path = request.uri().path().to_owned();
    let response = match ModelPath::of_infer(request.method(), &path) {
        Some(path) => infer(&frontend, &path, request).await,
        None => error_response(StatusCode::NOT_FOUND, "Not Found"),
    };
    response.map(AxumBody::new)
}

/// Answers one inference request. Dropping the future cancels the request.
pub(crate) async fn infer<B>(frontend: &HttpFrontend, path: &ModelPath<'_>, request: Request<B>) -> Response<FrameBody>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut line = RequestLine::begin("HTTP infer", &path.model);
    let (head, body) = request.into_parts();
    let mut body = pin!(body);
    let response = match answer(frontend, path, (&head, body.as_mut()), &mut line).await {
        Ok(response) => response,
        Err(refusal) => refuse(refusal, (head.version, body), BodyLimits::new(&frontend.settings)).await,
    };
    line.end(response.status());
    response
}

async fn answer<B>(
    frontend: &HttpFrontend,
    path: &ModelPath<'_>,
    (head, body): (&Parts, Pin<&mut B>),
    line: &mut RequestLine,
) -> Result<Response<FrameBody>, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let received = Instant::now();
    let headers = &head.headers;
    let model = frontend.service.model(&path.model, path.version()?)?;
    if model.config().is_decoupled() {
        let text = "HTTP end point doesn't support models with decoupled transaction policy";
        return Err(InferError::unsupported(text).into());
    }
    let request_coding = request_coding(headers)?;
    let header_length = header_length(headers)?;
    let json_bytes = header_length.map_or(0, HeaderLength::unchecked);
    let input_bytes_max = frontend.settings.limits.input_bytes_max;
    let trace = HttpTrace::start(frontend, model.identity(), headers);
    let mut body = gather(body, BodyLimits::new(&frontend.settings), json_bytes).await?;
    trace.received(received);
    if let Some(coding) = request_coding {
        body = decompress(body, coding, Unpacked { bytes_max: input_bytes_max, json_bytes }).await?;
    }
    let json_inline_bytes_max = frontend.settings.limits.json_inline_bytes_max;
    let is_small = header_length.map_or(body.len(), HeaderLength::unchecked) <= json_inline_bytes_max;
    let (decoding, regions) = (model.clone(), frontend.shared_memory.clone());
    let DecodedRequest { mut request, outputs, shared } = blocking::run(is_small, move || {
        let context = RequestContext { signature: decoding.signature(), received, input_bytes_max, regions: &regions };
        decode(body, header_length, &context)
    })
    .await?;
    if let Some(pattern) = &frontend.settings.forwarded_headers {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        pattern.forward(headers, &mut request.parameters)?;
    }
    request.trace = trace.handle();
    let id = request.id.clone();
    line.identify(model.identity().version, &id);
    let response = infer_for(&OnAccount::of(&head.extensions), &*model, request).single().await;
    trace.response_complete();
    let response = shared.settle(response)?;
    let is_small = outputs.rewritten_bytes(&response) <= json_inline_bytes_max;
    let mut response = blocking::run(is_small, move || {
        let response = outputs.classify(response, model.as_ref())?;
        encode(model.as_ref(), response, (&id, &outputs))
    })
    .await?;
    if let Some(coding) = response_coding(headers) {
        response = compress(response, coding).await?;
    }
    Ok(response.map(|body| body.traced(trace.sending())))
}

/// JSON with or without binary tensors, or, at a header length of 0, one raw tensor.
fn decode(
    body: Bytes,
    header_length: Option<HeaderLength>,
    context: &RequestContext<'_>,
) -> Result<DecodedRequest, InferError> {
    let json_bytes = header_length.map(|length| length.within(body.len())).transpose()?;
    match json_bytes {
        Some(0) => decode_raw_infer_request(body, context),
        json_bytes => decode_infer_request(&InferBody { bytes: body, json_bytes }, context),
    }
}

fn encode(
    model: &dyn ServedModel,
    response: nereid_inference::InferResponse,
    (id, outputs): (&str, &OutputFormats),
) -> Result<Response<FrameBody>, InferError> {
    let context = ResponseContext { id, identity: model.identity(), outputs };
    let encoded = encode_infer_response(response, &context)?;
    let Some(json_bytes) = encoded.json_bytes else {
        return Ok(json_response(Vec::new()).map(|_| encoded.frames.into()));
    };
    let mut response = Response::new(FrameBody::from(encoded.frames));
    response.headers_mut().insert(header::CONTENT_TYPE, OCTETS);
    response.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(json_bytes));
    Ok(response)
}

fn header_length(headers: &HeaderMap) -> Result<Option<HeaderLength>, InferError> {
    headers.get(HEADER_LENGTH).map(|value| HeaderLength::parse(value.as_bytes())).transpose()
}
