//! The one handle that outlives its call: who holds a request's sender owes its client the end.
//!
//! A slot is shared by the guest's handle, the batch that may want the sender back, and the watch over senders that a guest
//! keeps. Whoever ends the request first takes the sender out; everybody else finds the slot empty.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use nereid_inference::{CheckedRequest, InferError, InferResponse, ResponseSender};
use nereid_telemetry::Usage;
use parking_lot::Mutex;

use crate::{metering::response_bytes, output, plugin::PluginSpec};

/// A request's sender, as the guest holds it.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct SenderHandle {
    slot: Arc<SenderSlot>,
}

/// Where a request's sender lies while its batch is executed, and afterwards if the guest keeps it.
pub(crate) struct SenderSlot {
    place: Mutex<Place>,
    /// What responses are checked against, and for how long.
    spec: Arc<PluginSpec>,
    usage: Arc<Usage>,
    rows: u64,
    wanted: Vec<Arc<str>>,
    deadline: Instant,
    /// Whether the guest has, or had, the handle.
    taken: AtomicBool,
    /// Whether the guest gave the handle up while its batch was executed.
    dropped: AtomicBool,
    /// Until the batch has its outcomes.
    executing: AtomicBool,
    /// Responses sent; a model that is not decoupled has one.
    sent: AtomicU64,
}

enum Place {
    Here(ResponseSender),
    /// A response is being sent, which may wait for the client.
    Sending,
    /// The request ended while a response was being sent: with this, as soon as that is over.
    Doomed(InferError),
    Gone,
}

/// What became of a response.
enum Sent {
    Delivered,
    /// Nobody reads any more.
    Ended,
}

// === impl SenderSlot ===

impl SenderSlot {
    pub(crate) fn new(
        spec: &Arc<PluginSpec>,
        request: &CheckedRequest,
        sender: ResponseSender,
        deadline: Instant,
    ) -> Arc<Self> {
        let names = spec.signature.outputs.iter().map(|output| &output.name);
        Arc::new(Self {
            place: Mutex::new(Place::Here(sender)),
            spec: spec.clone(),
            usage: spec.usage_for(request),
            rows: request.batch_size(),
            // What the host keeps of an answer it takes from the outcome; nothing of it goes to the client from here.
            wanted: names.filter(|name| request.is_requested(name) && !request.is_attached(name)).cloned().collect(),
            deadline,
            taken: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            executing: AtomicBool::new(true),
            sent: AtomicU64::new(0),
        })
    }

    /// Whose figures its request counts into.
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Notes that the guest takes the handle; false when it had it already.
    pub(crate) fn hand_out(&self) -> bool {
        !self.taken.swap(true, Relaxed)
    }

    /// The batch has its outcomes; why this request cannot be deferred, if it cannot.
    pub(crate) fn end_execution(&self) -> Option<InferError> {
        self.executing.store(false, Relaxed);
        if !self.taken.load(Relaxed) {
            let text = format!("{} deferred a request whose sender it had not taken", self.spec.subject());
            return Some(InferError::internal(text));
        }
        self.dropped.load(Relaxed).then(|| self.dropped_error())
    }

    fn dropped_error(&self) -> InferError {
        let subject = self.spec.subject();
        InferError::internal(format!("{subject} dropped the request's sender before its last response"))
    }

    /// Whether another response would be one too many.
    pub(crate) fn is_full(&self) -> bool {
        !self.spec.decoupled && self.sent.load(Relaxed) > 0
    }

    /// Takes the sender, if the request has not ended and nothing is being sent.
    pub(crate) fn take(&self) -> Option<ResponseSender> {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Here(sender) => Some(sender),
            other => {
                *place = other;
                None
            }
        }
    }

    /// Ends the request with an error, now or as soon as the response under way is sent.
    pub(crate) fn fail(&self, error: InferError) {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Here(sender) => {
                drop(place);
                self.usage.failed();
                sender.respond(Err(error));
            }
            Place::Sending => *place = Place::Doomed(error),
            other => *place = other,
        }
    }

    /// Whether the request still waits for its end.
    pub(crate) fn is_open(&self) -> bool {
        matches!(&*self.place.lock(), Place::Here(_) | Place::Sending)
    }

    /// Whether a response is being sent.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(&*self.place.lock(), Place::Sending | Place::Doomed(_))
    }

    /// Whether the request has ended, or its client is gone.
    pub(crate) fn is_over(&self) -> bool {
        match &*self.place.lock() {
            Place::Here(sender) => sender.is_cancelled(),
            Place::Sending => false,
            Place::Doomed(_) | Place::Gone => true,
        }
    }

    /// Ready when the client of an open request is gone.
    pub(crate) fn poll_abandoned(&self, context: &mut Context<'_>) -> Poll<()> {
        match &*self.place.lock() {
            Place::Here(sender) => pin!(sender.cancelled()).poll(context),
            _ => Poll::Pending,
        }
    }

    /// Ends the request at its deadline, if nobody has until then; to be run for a sender that a guest keeps.
    pub(crate) async fn watch(self: Arc<Self>) {
        let abandoned = poll_fn(|context| self.poll_abandoned(context));
        if tokio::time::timeout_at(self.deadline.into(), abandoned).await.is_err() {
            let limit = self.spec.limits.wall_time_max;
            let subject = self.spec.subject();
            self.fail(InferError::deadline_exceeded(format!(
                "{subject} kept the request's sender and did not answer within {limit:?} (deadline_ms)"
            )));
        }
    }

    /// Sends a response of the guest.
    ///
    /// # Errors
    /// It does not fit the model, it is one too many, another one is being sent, or the client is gone.
    pub(crate) async fn send_next(&self, response: InferResponse, last: bool) -> Result<(), InferError> {
        if self.is_full() {
            return Err(InferError::invalid_argument(
                "a model that is not decoupled sends one response; set model_transaction_policy { decoupled: true } in \
                 config.pbtxt to send more",
            ));
        }
        if self.is_sending() {
            return Err(InferError::invalid_argument(
                "another response of the request is being sent; await that first",
            ));
        }
        match self.send(response, last).await? {
            Sent::Delivered => {
                self.sent.fetch_add(1, Relaxed);
                Ok(())
            }
            Sent::Ended => Err(InferError::cancelled("the client is gone, or the request has ended")),
        }
    }

    /// Checks and sends; waits while the client reads slowly. The first response of a model that is not decoupled is its last.
    async fn send(&self, response: InferResponse, last: bool) -> Result<Sent, InferError> {
        let last = last || !self.spec.decoupled;
        let wants = |name: &str| self.wanted.iter().any(|wanted| **wanted == *name);
        let response = output::check(&self.spec, self.rows, wants, response)?;
        self.usage.answered(response_bytes(&response));
        let taken = {
            let mut place = self.place.lock();
            match std::mem::replace(&mut *place, Place::Sending) {
                Place::Here(sender) => sender,
                other => {
                    *place = other;
                    return Ok(Sent::Ended);
                }
            }
        };
        let mut returned = Returned { slot: self, sender: Some(taken) };
        if last {
            if let Some(sender) = returned.sender.take() {
                let heard = !sender.is_cancelled();
                sender.respond(Ok(response));
                return Ok(if heard { Sent::Delivered } else { Sent::Ended });
            }
        } else if let Some(sender) = &mut returned.sender
            && sender.send(Ok(response)).await
        {
            return Ok(Sent::Delivered);
        }
        Ok(Sent::Ended)
    }
}

/// Puts the sender back when the response is sent, or when nobody waits for that any more.
struct Returned<'a> {
    slot: &'a SenderSlot,
    sender: Option<ResponseSender>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        let mut place = self.slot.place.lock();
        let now = self.sender.take().map_or(Place::Gone, Place::Here);
        let before = std::mem::replace(&mut *place, now);
        drop(place);
        if let Place::Doomed(error) = before {
            self.slot.fail(error);
        }
    }
}

// === impl SenderHandle ===

impl SenderHandle {
    pub(crate) fn new(slot: Arc<SenderSlot>) -> Self {
        Self { slot }
    }

    pub(crate) fn slot(&self) -> &Arc<SenderSlot> {
        &self.slot
    }

    /// Ends the request without another response. The client of a model that is not decoupled, which owes one, gets an
    /// error instead.
    pub(crate) fn finish(&self) {
        let Some(sender) = self.slot.take() else { return };
        if self.slot.spec.decoupled || self.slot.is_full() {
            return sender.finish();
        }
        let subject = self.slot.spec.subject();
        let text = format!("{subject} finished the request without a response, and the model is not decoupled");
        sender.respond(Err(InferError::internal(text)));
    }
}

/// While its batch is executed nothing is lost yet: the outcome says what becomes of the request. Later nobody would end it.
impl Drop for SenderHandle {
    fn drop(&mut self) {
        if self.slot.executing.load(Relaxed) {
            self.slot.dropped.store(true, Relaxed);
        } else if self.slot.is_open() {
            self.slot.fail(self.slot.dropped_error());
        }
    }
}
