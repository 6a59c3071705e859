//! A call of another model that is under way, and how long a guest waits for it.
//!
//! Nothing here needs the guest's store, so that a guest may await several.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use nereid_inference::{
    Delivery, InferError, InferRequest, InferResponse, ResponseStream, ServedModel, response_channel,
};

use crate::{account::Charge, failure::Stop, guest_clock::GuestClock, limits::TimeLimit};

/// A call that was admitted, and not begun.
pub(in crate::imports) struct PreparedCall {
    pub(in crate::imports) model: Arc<dyn ServedModel>,
    pub(in crate::imports) name: String,
    pub(in crate::imports) request: InferRequest,
    /// Keep the inputs' memory paid for while the other model may read it.
    pub(in crate::imports) charges: Vec<Arc<Charge>>,
    /// When the guest wants to wait no longer.
    pub(in crate::imports) give_up: Option<Instant>,
}

/// A call under way.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct PendingCall {
    model: String,
    stream: ResponseStream,
    /// A delivery that was looked at and not taken.
    peeked: Option<Delivery>,
    ended: bool,
    /// When the guest wants to wait no longer.
    give_up: Option<Instant>,
    _charges: Vec<Arc<Charge>>,
}

/// How long a guest may wait, in the call under way.
pub(in crate::imports) struct Patience {
    pub(super) deadline: Instant,
    pub(super) time: TimeLimit,
    /// Moves on where the guest has waited.
    pub(super) shown: GuestClock,
}

/// What came of waiting.
pub(in crate::imports) enum Waited<T> {
    Done(T),
    /// The guest's own patience ran out; the call's deadline did not.
    GaveUp,
}

// === impl PreparedCall ===

impl PreparedCall {
    /// Asks the model, which may work on this thread until it has to wait.
    pub(in crate::imports) fn begin(self) -> PendingCall {
        let Self { model, name, request, charges, give_up } = self;
        let stream = model.infer(request);
        PendingCall { model: name, stream, peeked: None, ended: false, give_up, _charges: charges }
    }

    /// Asks the model on another thread. For calls that a guest awaits: the model may be a plugin itself, and wasmtime enters no
    /// guest where it polls what another one awaits.
    pub(in crate::imports) async fn begin_elsewhere(self) -> Result<PendingCall, InferError> {
        let name = self.name.clone();
        let begun = tokio::spawn(async { self.begin() }).await;
        begun.map_err(|error| InferError::internal(format!("calling model '{name}': it could not be begun: {error}")))
    }
}

// === impl PendingCall ===

impl PendingCall {
    /// Looks for a delivery; `Ready` when `receive` would not wait.
    pub(in crate::imports) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.ended || self.peeked.is_some() {
            return Poll::Ready(());
        }
        match self.stream.poll_next(context) {
            Poll::Ready(delivery) => {
                self.ended = delivery.is_none();
                self.peeked = delivery;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Looks for the next response; `None` after the last. Nothing is lost where nobody looks any more.
    pub(in crate::imports) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<InferResponse, InferError>>> {
        loop {
            if self.poll_ready(context).is_pending() {
                return Poll::Pending;
            }
            let Some(delivery) = self.peeked.take() else { return Poll::Ready(None) };
            self.ended = delivery.last;
            if delivery.response.is_some() {
                return Poll::Ready(delivery.response);
            }
        }
    }

    /// The next response; `None` after the last.
    pub(super) async fn receive(&mut self) -> Option<Result<InferResponse, InferError>> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// The only response: a second one is an error.
    pub(in crate::imports) async fn receive_only(
        mut self,
        patience: &Patience,
    ) -> Result<Result<InferResponse, InferError>, Stop> {
        let give_up = self.give_up;
        let only = async {
            let first = self.receive().await;
            let second = if self.ended { None } else { self.receive().await };
            (first, second)
        };
        let received = match patience.wait(give_up, only).await? {
            Waited::Done(received) => received,
            Waited::GaveUp => return Ok(Err(self.timed_out())),
        };
        Ok(match received {
            (Some(Ok(response)), None) => Ok(response),
            (Some(Err(error)), None) => Err(self.blame(error)),
            (None, _) => Err(self.blame(InferError::internal("expected a single response, got none; use submit"))),
            (Some(_), Some(_)) => {
                Err(self.blame(InferError::internal("expected a single response, got several; use submit")))
            }
        })
    }

    /// Whoever executes it sees that nobody listens; nothing more is received.
    pub(in crate::imports) fn cancel(&mut self) {
        let (_, unheard) = response_channel();
        self.stream = unheard;
        self.peeked = None;
        self.ended = true;
    }

    pub(in crate::imports) fn give_up(&self) -> Option<Instant> {
        self.give_up
    }

    pub(in crate::imports) fn timed_out(&self) -> InferError {
        InferError::deadline_exceeded(format!("model '{}' did not answer within the call's timeout-ms", self.model))
    }

    /// Says whose error it is.
    pub(in crate::imports) fn blame(&self, error: InferError) -> InferError {
        error.prefixed(&format!("calling model '{}': ", self.model))
    }
}

// === impl Patience ===

impl Patience {
    /// Waits no longer than the guest wants, and never beyond the call's deadline.
    pub(in crate::imports) async fn wait<T>(
        &self,
        give_up: Option<Instant>,
        future: impl Future<Output = T>,
    ) -> Result<Waited<T>, Stop> {
        let until = give_up.map_or(self.deadline, |give_up| give_up.min(self.deadline));
        let waited = tokio::time::timeout_at(until.into(), future).await;
        self.shown.move_on();
        match waited {
            Ok(done) => Ok(Waited::Done(done)),
            Err(_) if Instant::now() < self.deadline => Ok(Waited::GaveUp),
            Err(_) => Err(Stop::WallTime(self.time)),
        }
    }

    /// Waits for something that no guest decides how long to wait for.
    pub(in crate::imports) async fn within_deadline<T>(&self, future: impl Future<Output = T>) -> Result<T, Stop> {
        match self.wait(None, future).await? {
            Waited::Done(done) => Ok(done),
            Waited::GaveUp => Err(Stop::WallTime(self.time)),
        }
    }
}
