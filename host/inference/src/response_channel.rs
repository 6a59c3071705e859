//! How responses travel from whoever executes a request to whoever asked: one, many, or none until later.
//!
//! Promises: every stream ends with exactly one delivery marked last. A sender dropped without one delivers an internal
//! error, so nobody waits for ever. Dropping the stream is how a request is cancelled: the sender sees
//! [`ResponseSender::is_cancelled`] and later responses are discarded.
//! Costs: one allocation per request, one uncontended lock per response.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use nereid_sync::Mutex;

use crate::{
    Delivery, InferError, InferResponse, RequestTrace, Reshapes, ResponseObserver, ResponseOutcome, SharedTicket,
    TensorActivity, response_order::Turn, response_watch::ResponseWatch, ticket::both,
};

/// Responses that wait for a slow reader before [`ResponseSender::send`] makes the sender wait too.
/// Sixteen keep a token stream moving across a scheduling hiccup; each is one response's worth of memory.
pub const RESPONSES_BUFFERED_MAX: usize = 16;

/// The executing side.
pub struct ResponseSender {
    channel: Arc<Mutex<Channel>>,
    finished: bool,
    /// Where answers are given in order; let go after the last delivery.
    turn: Option<Turn>,
    watch: Option<Box<ResponseWatch>>,
    trace: Option<Arc<dyn RequestTrace>>,
    /// How outputs become what clients see; let go once that is done.
    reshapes: Option<Arc<Reshapes>>,
}

/// The asking side.
#[derive(Debug)]
pub struct ResponseStream {
    channel: Arc<Mutex<Channel>>,
    ended: bool,
    /// Gone with the stream.
    ticket: Option<SharedTicket>,
}

#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// The common case of one response needs no allocation of its own.
    next: Option<Delivery>,
    later: VecDeque<Delivery>,
    /// What is read from here on.
    successor: Option<Box<ResponseStream>>,
    cancelled: bool,
    /// Earlier requests have not ended: what is there is not shown yet.
    held: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A connected pair.
pub fn response_channel() -> (ResponseSender, ResponseStream) {
    let channel = Arc::new(Mutex::new(Channel::default()));
    let (turn, watch, trace, reshapes) = (None, None, None, None);
    let sender = ResponseSender { channel: channel.clone(), finished: false, turn, watch, trace, reshapes };
    (sender, ResponseStream { channel, ended: false, ticket: None })
}

// === impl ResponseSender ===

impl ResponseSender {
    /// The same sender, which shows every output that it sends to `trace`.
    #[must_use]
    pub fn traced(self, trace: Option<Arc<dyn RequestTrace>>) -> Self {
        let mut sender = self;
        sender.trace = trace;
        sender
    }

    /// Reports every response to `observer` from now on.
    pub fn watch(&mut self, observer: Arc<dyn ResponseObserver>) {
        self.watch = Some(Box::new(ResponseWatch::new(observer)));
    }

    /// Gives outputs the clients' form from now on.
    pub fn reshape(&mut self, reshapes: Arc<Reshapes>) {
        self.reshapes = Some(reshapes);
    }

    /// Gives the last answer the clients' form before it is sent, so that one that does not fit can be counted as a
    /// failure.
    pub fn reshape_last(&mut self, result: &mut Result<InferResponse, InferError>) {
        if let Some(reshapes) = self.reshapes.take() {
            reshapes.settle(result);
        }
    }

    /// Notes for the watch, if there is one, when the execution began.
    pub fn execution_started(&mut self, at: Instant) {
        if let Some(watch) = &mut self.watch {
            watch.execution_started(at);
        }
    }

    /// Sends the last, or only, response.
    pub fn respond(mut self, result: Result<InferResponse, InferError>) {
        let handed_over = self.hand_over();
        self.deliver(Delivery { response: Some(result), last: true }, handed_over);
    }

    /// Ends the stream without another response.
    pub fn finish(mut self) {
        let handed_over = self.hand_over();
        self.deliver(Delivery { response: None, last: true }, handed_over);
    }

    /// Ends this side: whoever reads goes on with `stream`, as if it had been there from the start.
    pub fn continue_with(mut self, stream: ResponseStream) {
        self.finished = true;
        self.trace = None;
        let mut channel = self.channel.lock();
        if channel.cancelled {
            return;
        }
        channel.successor = Some(Box::new(stream));
        let reader = channel.reader.take();
        drop(channel);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Sends a response that others follow; waits while [`RESPONSES_BUFFERED_MAX`] are unread.
    ///
    /// Returns whether anybody still listens.
    pub async fn send(&mut self, result: Result<InferResponse, InferError>) -> bool {
        let handed_over = self.hand_over();
        poll_fn(|context| self.poll_room(context)).await;
        self.deliver(Delivery { response: Some(result), last: false }, handed_over);
        !self.is_cancelled()
    }

    /// Whether the asking side is gone: the work may be left undone.
    pub fn is_cancelled(&self) -> bool {
        self.channel.lock().cancelled
    }

    /// Completes when the asking side is gone; never, while it listens.
    pub async fn cancelled(&self) {
        poll_fn(|context| {
            let mut channel = self.channel.lock();
            if channel.cancelled {
                return Poll::Ready(());
            }
            channel.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut channel = self.channel.lock();
        if channel.cancelled || channel.later.len() < RESPONSES_BUFFERED_MAX {
            return Poll::Ready(());
        }
        channel.writer = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn channel(&self) -> &Arc<Mutex<Channel>> {
        &self.channel
    }

    pub(crate) fn set_turn(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// The time, for those who watch.
    fn hand_over(&self) -> Option<Instant> {
        self.watch.as_ref().map(|_| Instant::now())
    }

    /// The watch is told before the reader: who reads a response and asks for statistics sees it counted.
    fn deliver(&mut self, mut delivery: Delivery, handed_over: Option<Instant>) {
        self.finished |= delivery.last;
        if let (Some(reshapes), Some(result)) = (&self.reshapes, &mut delivery.response) {
            reshapes.settle(result);
        }
        if let (Some(watch), Some(handed_over)) = (&mut self.watch, handed_over) {
            let is_cancelled = self.channel.lock().cancelled;
            watch.sent(if is_cancelled { ResponseOutcome::Cancelled } else { delivery.outcome() }, handed_over);
        }
        if let (Some(trace), Some(Ok(response))) = (&self.trace, &delivery.response) {
            for output in &response.outputs {
                trace.tensor(TensorActivity::BackendOutput, &output.name, &output.tensor);
            }
        }
        if delivery.last {
            // Gone before the answer arrives, so that the trace of an answered request is complete with its frontend.
            self.trace = None;
        }
        let mut channel = self.channel.lock();
        if channel.cancelled {
            return;
        }
        let reader = channel.push(delivery);
        drop(channel);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl fmt::Debug for ResponseSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseSender(finished: {}, watched: {})", self.finished, self.watch.is_some())
    }
}

impl Drop for ResponseSender {
    fn drop(&mut self) {
        if !self.finished {
            let error = InferError::internal("the model dropped the request without a final response");
            let handed_over = self.hand_over();
            self.deliver(Delivery { response: Some(Err(error)), last: true }, handed_over);
        }
    }
}

// === impl ResponseStream ===

impl ResponseStream {
    /// A stream whose only response is there already.
    pub fn ready(result: Result<InferResponse, InferError>) -> Self {
        let (sender, stream) = response_channel();
        sender.respond(result);
        stream
    }

    /// The same stream, which keeps `ticket`, and what it kept before, until it is dropped.
    #[must_use]
    pub fn holding(self, ticket: SharedTicket) -> Self {
        let mut stream = self;
        stream.ticket = Some(both(stream.ticket.take(), ticket));
        stream
    }

    /// The next delivery; `None` after the last one.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`], for callers that are futures themselves.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut channel = self.channel.lock();
        let Some(delivery) = channel.pop() else {
            if let Some(successor) = channel.successor.take() {
                drop(channel);
                self.follow(*successor);
                return self.poll_next(context);
            }
            channel.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let writer = channel.writer.take();
        drop(channel);
        self.ended = delivery.last;
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Some(delivery))
    }

    /// Reads from `successor` from now on; what is left of this channel is dropped with it.
    fn follow(&mut self, mut successor: Self) {
        std::mem::swap(&mut self.channel, &mut successor.channel);
        if let Some(ticket) = successor.ticket.take() {
            self.ticket = Some(ticket);
        }
    }

    /// The response of a model that gives exactly one.
    ///
    /// # Errors
    /// The model's own error, or `expected a single response, got N`.
    pub async fn single(mut self) -> Result<InferResponse, InferError> {
        let mut responses = 0_u64;
        let mut first = None;
        while let Some(delivery) = self.next().await {
            if let Some(response) = delivery.response {
                responses += 1;
                first.get_or_insert(response);
            }
        }
        match (first, responses) {
            (Some(response), 1) => response,
            _ => Err(InferError::internal(format!("expected a single response, got {responses}"))),
        }
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        let mut channel = self.channel.lock();
        channel.cancelled = true;
        let unread = (channel.next.take(), std::mem::take(&mut channel.later), channel.successor.take());
        let writer = channel.writer.take();
        drop(channel);
        drop(unread);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

// === impl Channel ===

impl Channel {
    /// Queues a delivery and hands out the reader to wake.
    fn push(&mut self, delivery: Delivery) -> Option<Waker> {
        match self.next {
            None => self.next = Some(delivery),
            Some(_) => self.later.push_back(delivery),
        }
        if self.held { None } else { self.reader.take() }
    }

    /// Hides what is there from the reader, or shows it.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
        if !held
            && self.next.is_some()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }

    fn pop(&mut self) -> Option<Delivery> {
        if self.held {
            return None;
        }
        let next = self.next.take();
        self.next = self.later.pop_front();
        next
    }
}

#[cfg(test)]
mod tests;
