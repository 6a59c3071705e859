//! One request of a stream that waits for its responses.
//!
//! Dropping it cancels the request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use futures_util::Stream;
use http::HeaderMap;
use nereid_inference::{
    Delivery, InferError, InferResponse, Parameters, ResponseStream, ServedModel, SharedTenant, SharedTensors,
    infer_for,
};
use nereid_protocol::{
    ClassCounts,
    grpc::{
        RequestEcho, check_response_size, decode_infer_request,
        proto::{ModelInferRequest, ModelStreamInferResponse},
    },
};
use nereid_telemetry::RequestLine;

use crate::{
    error::outcome,
    forwarding,
    frontend::Running,
    panic::guard,
    trace::{GrpcTrace, Sending},
};

/// What a client said when it opened its stream; it holds for every request.
pub(crate) struct StreamHead {
    pub(crate) headers: HeaderMap,
    /// What the headers add to each request.
    pub(crate) forwarded: Result<Parameters, InferError>,
    /// On whose account they go.
    pub(crate) tenant: SharedTenant,
}

/// A message for the client, and the error in it, if it is one.
pub(crate) struct Answer {
    pub(crate) message: ModelStreamInferResponse,
    pub(crate) error: Option<InferError>,
    /// To be dropped when the message is sent.
    pub(crate) sending: Option<Sending>,
}

/// A request under way.
pub(crate) enum Pending {
    /// Answered exactly once, in its turn among the others of its stream.
    Single(Single),
    /// Answered any number of times, whenever its model likes.
    Decoupled(Decoupled),
}

/// A request to a model that gives one response, or one that no model got.
pub(crate) struct Single {
    exchange: Exchange,
    first: Option<Result<InferResponse, InferError>>,
    responses_total: u64,
}

/// A request to a model that gives any number of responses.
pub(crate) struct Decoupled {
    exchange: Exchange,
    empty_final_response: bool,
    ended: bool,
}

struct Exchange {
    echo: RequestEcho,
    /// `None` when the request failed before its model was known.
    model: Option<Arc<dyn ServedModel>>,
    responses: ResponseStream,
    classes: ClassCounts,
    shared: SharedTensors,
    message_bytes_max: usize,
    trace: GrpcTrace,
    line: RequestLine,
}

// === impl Pending ===

impl Pending {
    /// Hands a request to its model. Refusals, and panics, are answers like any other.
    pub(crate) fn begin(running: &Running, head: &StreamHead, message: ModelInferRequest) -> Self {
        let received = Instant::now();
        let mut line = RequestLine::begin("gRPC stream", &message.model_name);
        let mut trace = GrpcTrace::default();
        let echo = RequestEcho::of(&message);
        let message_bytes_max = running.settings.limits.message_bytes_max;
        let (mut classes, mut shared) = (ClassCounts::default(), SharedTensors::default());
        let model = guard(|| running.model(&message.model_name, &message.model_version));
        let (model, decoupled, started) = match model {
            Err(error) => (None, false, Err(error)),
            Ok(model) => {
                let decoupled = model.config().is_decoupled();
                trace = GrpcTrace::start(running, model.identity(), &head.headers, received);
                let started = guard(|| {
                    let mut decoded = decode_infer_request(message, received, &running.shared_memory)?;
                    forwarding::add(head.forwarded.as_ref().map_err(Clone::clone)?, &mut decoded.request.parameters);
                    (classes, shared) = (decoded.classes, decoded.shared);
                    decoded.request.trace = trace.handle();
                    line.identify(model.identity().version, &decoded.request.id);
                    let responses = infer_for(&head.tenant, &*model, decoded.request);
                    Ok((responses, decoded.empty_final_response))
                });
                (Some(model), decoupled, started)
            }
        };
        let (responses, empty_final_response) =
            started.unwrap_or_else(|error| (ResponseStream::ready(Err(error)), false));
        let exchange = Exchange { echo, model, responses, classes, shared, message_bytes_max, trace, line };
        match decoupled {
            true => Self::Decoupled(Decoupled { exchange, empty_final_response, ended: false }),
            false => Self::Single(Single { exchange, first: None, responses_total: 0 }),
        }
    }
}

// === impl Single ===

impl Single {
    /// The one answer, once the model has said that nothing follows.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        while let Some(delivery) = ready!(self.exchange.responses.poll_next(context)) {
            if let Some(response) = delivery.response {
                self.exchange.trace.response_complete();
                self.responses_total += 1;
                self.first.get_or_insert(response);
            }
        }
        let response = match (self.first.take(), self.responses_total) {
            (Some(response), 1) => response,
            (_, total) => Err(InferError::internal(format!("expected a single response, got {total}"))),
        };
        Poll::Ready(self.exchange.answer(response, true))
    }
}

// === impl Decoupled ===

impl Stream for Decoupled {
    type Item = Answer;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let Some(Delivery { response, last }) = ready!(this.exchange.responses.poll_next(context)) else {
            return Poll::Ready(None);
        };
        this.ended = last;
        Poll::Ready(match response {
            Some(response) => {
                this.exchange.trace.response_complete();
                Some(this.exchange.answer(response, last))
            }
            None => {
                this.exchange.line.end(outcome(&Ok(())));
                this.empty_final_response.then(|| this.exchange.empty(last))
            }
        })
    }
}

// === impl Exchange ===

impl Exchange {
    fn answer(&mut self, response: Result<InferResponse, InferError>, last: bool) -> Answer {
        let message = self.encode(response, last);
        if last {
            self.line.end(outcome(&message));
        }
        let sending = self.trace.sending();
        match message {
            Ok(message) => Answer { message, error: None, sending },
            Err(error) => Answer { message: self.echo.failure(&error, last), error: Some(error), sending },
        }
    }

    /// Says that nothing more comes, or that something may.
    fn empty(&self, last: bool) -> Answer {
        Answer { message: self.echo.empty(last), error: None, sending: self.trace.sending() }
    }

    fn encode(
        &self,
        response: Result<InferResponse, InferError>,
        last: bool,
    ) -> Result<ModelStreamInferResponse, InferError> {
        let response = self.shared.settle(response)?;
        let Some(model) = &self.model else {
            return Err(InferError::internal("a response arrived that no model gave"));
        };
        let response = self.classes.apply(response, model.as_ref())?;
        let message = self.echo.response(model.identity(), (response, &self.shared), last);
        if let Some(response) = &message.infer_response {
            check_response_size(response, self.message_bytes_max)?;
        }
        Ok(message)
    }
}
