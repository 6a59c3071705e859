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
use nereid_inference::{Delivery, InferError, InferResponse, Parameters, ResponseStream, ServedModel, SharedTensors};
use nereid_protocol::{
    ClassCounts,
    grpc::{
        RequestEcho, check_response_size, decode_infer_request,
        proto::{ModelInferRequest, ModelStreamInferResponse},
    },
};

use crate::{forwarding, frontend::Running, panic::guard};

/// A message for the client, and the error in it, if it is one.
pub(crate) struct Answer {
    pub(crate) message: ModelStreamInferResponse,
    pub(crate) error: Option<InferError>,
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
}

// === impl Pending ===

impl Pending {
    /// Hands a request to its model. Refusals, and panics, are answers like any other.
    pub(crate) fn begin(
        running: &Running,
        forwarded: &Result<Parameters, InferError>,
        message: ModelInferRequest,
    ) -> Self {
        let received = Instant::now();
        let echo = RequestEcho::of(&message);
        let message_bytes_max = running.settings.limits.message_bytes_max;
        let (mut classes, mut shared) = (ClassCounts::default(), SharedTensors::default());
        let model = guard(|| running.model(&message.model_name, &message.model_version));
        let (model, decoupled, started) = match model {
            Err(error) => (None, false, Err(error)),
            Ok(model) => {
                let decoupled = model.config().is_decoupled();
                let started = guard(|| {
                    let mut decoded = decode_infer_request(message, received, &running.shared_memory)?;
                    forwarding::add(forwarded.as_ref().map_err(Clone::clone)?, &mut decoded.request.parameters);
                    (classes, shared) = (decoded.classes, decoded.shared);
                    Ok((model.infer(decoded.request), decoded.empty_final_response))
                });
                (Some(model), decoupled, started)
            }
        };
        let (responses, empty_final_response) =
            started.unwrap_or_else(|error| (ResponseStream::ready(Err(error)), false));
        let exchange = Exchange { echo, model, responses, classes, shared, message_bytes_max };
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
            Some(response) => Some(this.exchange.answer(response, last)),
            None if this.empty_final_response => Some(Answer { message: this.exchange.echo.empty(last), error: None }),
            None => None,
        })
    }
}

// === impl Exchange ===

impl Exchange {
    fn answer(&self, response: Result<InferResponse, InferError>, last: bool) -> Answer {
        self.encode(response, last)
            .unwrap_or_else(|error| Answer { message: self.echo.failure(&error, last), error: Some(error) })
    }

    fn encode(&self, response: Result<InferResponse, InferError>, last: bool) -> Result<Answer, InferError> {
        let response = self.shared.settle(response)?;
        let Some(model) = &self.model else {
            return Err(InferError::internal("a response arrived that no model gave"));
        };
        let response = self.classes.apply(response, model.as_ref())?;
        let message = self.echo.response(model.identity(), (response, &self.shared), last);
        if let Some(response) = &message.infer_response {
            check_response_size(response, self.message_bytes_max)?;
        }
        Ok(Answer { message, error: None })
    }
}
