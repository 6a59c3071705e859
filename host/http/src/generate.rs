//! `POST /v2/models/{m}[/versions/{v}]/generate` and `/generate_stream`: flat JSON in, one answer or a stream of events.
//!
//! Checks run in Triton's order: version, model, encoding, body, the model's signature. Up to there a failure is an
//! ordinary error. After that the first response fixes the status, and later failures are events. Dropping the future
//! or the body cancels the request.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    body::Body as AxumBody,
    extract::State,
    response::{IntoResponse, Response as AxumResponse},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::{Body, Frame};
use nereid_access::OnAccount;
use nereid_inference::{InferError, InferResponse, ResponseStream, ServedModel, infer_for};
use nereid_protocol::http::{decode_generate_request, encode_error, encode_event, encode_generate_response};
use nereid_telemetry::RequestLine;

use crate::{
    FrameBody, HttpFrontend, blocking,
    body::{BodyLimits, gather},
    error::{Refusal, error_response, failure_response, json_response, status},
    load_metrics,
    model_path::ModelTarget,
    refusal::refuse,
    trace::{HttpTrace, Sending},
};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

const NOT_EXACTLY_ONE: &str = "generate expects model to produce exactly 1 response, use generate stream for model that \
     generates various number of responses";

/// A request that runs, and what its answers are made of.
struct Generation {
    model: Arc<dyn ServedModel>,
    id: String,
    responses: ResponseStream,
    trace: HttpTrace,
    line: RequestLine,
}

/// The body of an event stream.
struct Events {
    first: Option<Bytes>,
    generation: Generation,
    _sending: Option<Sending>,
}

/// `generate`: the answer of a request that has exactly one.
pub(crate) async fn single(
    State(frontend): State<Arc<HttpFrontend>>,
    target: ModelTarget,
    request: Request<AxumBody>,
) -> Response<FrameBody> {
    let asked = load_metrics::asked(request.headers());
    match begin(&frontend, &target, request).await {
        Ok(generation) => {
            let mut response = generation.into_single().await;
            load_metrics::report(&frontend.settings, asked, response.headers_mut());
            response
        }
        Err(refused) => refused,
    }
}

/// `generate_stream`: every answer as a server-sent event.
pub(crate) async fn stream(
    State(frontend): State<Arc<HttpFrontend>>,
    target: ModelTarget,
    request: Request<AxumBody>,
) -> AxumResponse {
    let asked = load_metrics::asked(request.headers());
    match begin(&frontend, &target, request).await {
        Ok(generation) => {
            let mut response = generation.into_events().await;
            load_metrics::report(&frontend.settings, asked, response.headers_mut());
            response.map(AxumBody::new)
        }
        Err(refused) => refused.into_response(),
    }
}

/// Starts a request, or refuses it; a refusal comes after the rest of the body was read, or ends the connection.
async fn begin(
    frontend: &HttpFrontend,
    target: &ModelTarget,
    request: Request<AxumBody>,
) -> Result<Generation, Response<FrameBody>> {
    let (head, body) = request.into_parts();
    let mut body = pin!(body);
    let mut line = RequestLine::begin("HTTP generate", &target.model);
    match start(frontend, target, (&head, body.as_mut()), &mut line).await {
        Ok(generation) => Ok(Generation { line, ..generation }),
        Err(refusal) => {
            let response = refuse(refusal, (head.version, body), BodyLimits::new(&frontend.settings)).await;
            line.end(response.status());
            Err(response)
        }
    }
}

async fn start(
    frontend: &HttpFrontend,
    target: &ModelTarget,
    (head, body): (&Parts, Pin<&mut AxumBody>),
    line: &mut RequestLine,
) -> Result<Generation, Refusal> {
    let received = Instant::now();
    let headers = &head.headers;
    let model = frontend.service.model(&target.model, target.version)?;
    check_encoding(headers)?;
    let trace = HttpTrace::start(frontend, model.identity(), headers);
    let body = gather(body, BodyLimits::new(&frontend.settings), 0).await?;
    trace.received(received);
    let is_small = body.len() <= frontend.settings.limits.json_inline_bytes_max;
    let decoding = model.clone();
    let request =
        blocking::run(is_small, move || decode_generate_request(&body, decoding.signature(), received)).await?;
    let id = request.id.clone();
    // Checked here, and by the model again, to tell a wrong request from a failed one.
    let mut request = model.signature().check(request)?.into_inner();
    request.trace = trace.handle();
    line.identify(model.identity().version, &id);
    let responses = infer_for(&OnAccount::of(&head.extensions), &*model, request);
    Ok(Generation { model, id, responses, trace, line: RequestLine::default() })
}

/// These endpoints take bodies only as they are.
fn check_encoding(headers: &HeaderMap) -> Result<(), InferError> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(InferError::invalid_argument("Unsupported content-encoding, only 'identity' is supported."))
        }
        _ => Ok(()),
    }
}

// === impl Generation ===

impl Generation {
    /// The next response as JSON or as the error that it is; `None` at the end.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, InferError>>> {
        loop {
            match ready!(self.responses.poll_next(context)).map(|delivery| delivery.response) {
                None => {
                    self.line.end("ended");
                    return Poll::Ready(None);
                }
                Some(None) => {}
                Some(Some(response)) => {
                    self.trace.response_complete();
                    if let Err(error) = &response {
                        self.line.end(status(error.kind()));
                    }
                    return Poll::Ready(Some(self.encode(response)));
                }
            }
        }
    }

    async fn next_answer(&mut self) -> Option<Result<Vec<u8>, InferError>> {
        std::future::poll_fn(|context| self.poll_answer(context)).await
    }

    fn encode(&self, response: Result<InferResponse, InferError>) -> Result<Vec<u8>, InferError> {
        encode_generate_response(&response?, &self.id, self.model.identity())
    }

    /// The one answer. A second one ends the request; the status is the first one's all the same, as it is Triton's.
    async fn into_single(mut self) -> Response<FrameBody> {
        let Some(first) = self.next_answer().await else { return error_response(StatusCode::OK, NOT_EXACTLY_ONE) };
        let is_only = self.next_answer().await.is_none();
        match first {
            Ok(json) if is_only => json_response(json).map(|body| body.traced(self.trace.sending())),
            Err(error) if is_only => failure_response(&error),
            first => error_response(status_of(&first), NOT_EXACTLY_ONE),
        }
    }

    /// A stream whose status is that of the first answer.
    async fn into_events(mut self) -> Response<Events> {
        let first = self.next_answer().await;
        let status = first.as_ref().map_or(StatusCode::OK, status_of);
        let sending = self.trace.clone().sending();
        let mut response = Response::new(Events { first: first.map(event), generation: self, _sending: sending });
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
        response
    }
}

fn status_of(answer: &Result<Vec<u8>, InferError>) -> StatusCode {
    answer.as_ref().map_or_else(|error| status(error.kind()), |_| StatusCode::OK)
}

fn event(answer: Result<Vec<u8>, InferError>) -> Bytes {
    let json = answer.unwrap_or_else(|error| encode_error(error.message()));
    encode_event(&json).into()
}

// === impl Events ===

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => ready!(self.generation.poll_answer(context)).map(event),
        };
        Poll::Ready(next.map(|event| Ok(Frame::data(event))))
    }
}
