//! `ModelStreamInfer`: requests and responses on one stream.
//!
//! Promises: models that give one response per request are answered strictly in the order of the requests; decoupled
//! models are answered as they please, each request's responses in order. A failure is a message and the stream goes
//! on, unless its client asked for strictness. When the client has sent everything, what is under way is finished.
//! Dropping the stream cancels all of it.
//! Refuses nothing, but stops to read while too many requests are under way: the client waits, by flow control.
//! Costs no task: the connection polls the stream, and a client that does not read its responses is not read either.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt,
    stream::{SelectAll, select_all},
};
use nereid_access::OnAccount;
use nereid_inference::InferError;
use nereid_protocol::grpc::proto::{ModelInferRequest, ModelStreamInferResponse};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Status, Streaming};

use crate::{
    error::status,
    forwarding,
    frontend::Running,
    pending::{Answer, Decoupled, Pending, Single, StreamHead},
    trace::Sending,
};

/// Metadata with which a client asks that the first error ends the stream with its real status.
const STRICT_ERRORS_METADATA: &str = "triton_grpc_error";

/// The responses of one stream.
pub(crate) struct InferStream {
    running: Arc<Running>,
    head: StreamHead,
    requests: Source,
    /// Requests answered in their order; only the first one is polled.
    ordered: VecDeque<Single>,
    /// Requests answered in any order.
    decoupled: SelectAll<Decoupled>,
    strict: bool,
    ended: bool,
    /// Of the message that was given out last, until the next one is asked for.
    sending: Option<Sending>,
}

/// Where requests come from, as long as they come.
enum Source {
    Open {
        messages: Box<Streaming<ModelInferRequest>>,
        stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    },
    /// The client has sent everything.
    Closed,
    /// The server stops and reads no more.
    Stopped,
}

// === impl InferStream ===

impl InferStream {
    /// Answers the requests of a stream that was just opened.
    pub(crate) fn new(running: Arc<Running>, request: Request<Streaming<ModelInferRequest>>) -> Self {
        let strict = request.metadata().get(STRICT_ERRORS_METADATA).is_some_and(|value| value == "true");
        let stopping = Box::pin(running.stopping.clone().cancelled_owned());
        let (metadata, extensions, messages) = request.into_parts();
        let tenant = OnAccount::of(&extensions);
        let headers = metadata.into_headers();
        let forwarded = forwarding::forwarded(running.settings.forwarded_headers.as_ref(), &headers);
        Self {
            running,
            head: StreamHead { headers, forwarded, tenant },
            requests: Source::Open { messages: Box::new(messages), stopping },
            ordered: VecDeque::new(),
            decoupled: select_all([]),
            strict,
            ended: false,
            sending: None,
        }
    }

    /// Takes in one request, when one is there and there is room for it; returns whether it did.
    fn poll_request(&mut self, context: &mut Context<'_>) -> Result<bool, Status> {
        let has_room = self.in_flight() < self.running.settings.limits.stream_requests_in_flight_max;
        let Source::Open { messages, stopping } = &mut self.requests else { return Ok(false) };
        if stopping.as_mut().poll(context).is_ready() {
            self.requests = Source::Stopped;
            return Ok(false);
        }
        // Nobody wakes this stream for messages then; it looks again when a request has left.
        if !has_room {
            return Ok(false);
        }
        match messages.poll_next_unpin(context) {
            Poll::Pending => Ok(false),
            Poll::Ready(None) => {
                self.requests = Source::Closed;
                Ok(false)
            }
            Poll::Ready(Some(Err(status))) => Err(status),
            Poll::Ready(Some(Ok(message))) => {
                match Pending::begin(&self.running, &self.head, message) {
                    Pending::Single(single) => self.ordered.push_back(single),
                    Pending::Decoupled(decoupled) => self.decoupled.push(decoupled),
                }
                Ok(true)
            }
        }
    }

    /// The next answer of whoever may speak.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        if let Some(first) = self.ordered.front_mut()
            && let Poll::Ready(answer) = first.poll(context)
        {
            self.ordered.pop_front();
            return Poll::Ready(answer);
        }
        match self.decoupled.poll_next_unpin(context) {
            Poll::Ready(Some(answer)) => Poll::Ready(answer),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Requests that are not answered yet.
    fn in_flight(&self) -> usize {
        self.ordered.len() + self.decoupled.len()
    }

    /// How the stream ends, if it does now.
    fn end(&self) -> Option<Result<(), Status>> {
        if self.in_flight() > 0 {
            return None;
        }
        match self.requests {
            Source::Open { .. } => None,
            Source::Closed => Some(Ok(())),
            Source::Stopped => Some(Err(status(&InferError::unavailable(
                "GRPC server is shutting down and has stopped accepting new requests.",
            )))),
        }
    }

    /// Ends the stream with an error; whatever is under way is cancelled.
    fn fail(&mut self, status: Status) -> Poll<Option<Result<ModelStreamInferResponse, Status>>> {
        self.ended = true;
        self.requests = Source::Closed;
        self.ordered.clear();
        self.decoupled.clear();
        Poll::Ready(Some(Err(status)))
    }
}

impl Stream for InferStream {
    type Item = Result<ModelStreamInferResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.sending = None;
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            // At most one request before each answer, so that neither direction starves the other.
            let taken = match this.poll_request(context) {
                Ok(taken) => taken,
                Err(status) => return this.fail(status),
            };
            let in_flight = this.in_flight();
            if let Poll::Ready(Answer { message, error, sending }) = this.poll_answer(context) {
                this.sending = sending;
                return match error.filter(|_| this.strict) {
                    Some(error) => this.fail(status(&error)),
                    None => Poll::Ready(Some(Ok(message))),
                };
            }
            match this.end() {
                Some(Ok(())) => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Some(Err(status)) => return this.fail(status),
                // A decoupled request may leave without a word and make room.
                None if taken || this.in_flight() < in_flight => {}
                None => return Poll::Pending,
            }
        }
    }
}
