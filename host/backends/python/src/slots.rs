//! The requests that a runner has, by number: each has one sender, which is taken by whoever answers.
//!
//! A request leaves when it is answered for good, when the model forgets it, or when the process ends. Nobody can name a
//! request of another runner: numbers belong to one process.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use nereid_inference::{CallChain, CheckedRequest, InferError, RequestTrace, ResponseSender, SharedTenant};
use parking_lot::{Condvar, Mutex};

use std::time::Instant;

/// The open requests of one process.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    open: Mutex<HashMap<u64, Slot>>,
    emptied: Condvar,
    numbers: AtomicU64,
}

/// What the host keeps of a request.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    pub(crate) wanted: Vec<Arc<str>>,
    pub(crate) callers: Option<Arc<CallChain>>,
    pub(crate) tenant: SharedTenant,
    pub(crate) trace: Option<Arc<dyn RequestTrace>>,
    pub(crate) priority: u64,
}

#[derive(Debug)]
struct Slot {
    /// Away while a response is on its way.
    sender: Option<ResponseSender>,
    notes: Arc<Notes>,
}

// === impl Notes ===

impl Notes {
    fn of(request: &CheckedRequest) -> Self {
        let request = request.get();
        Self {
            wanted: request.requested_outputs.clone(),
            callers: request.callers.clone(),
            tenant: request.tenant.clone(),
            trace: request.trace.clone(),
            priority: request.priority,
        }
    }
}

// === impl Slots ===

impl Slots {
    /// Keeps a request; returns its number.
    pub(crate) fn open(&self, request: &CheckedRequest, sender: ResponseSender) -> u64 {
        let number = self.numbers.fetch_add(1, Relaxed) + 1;
        self.open.lock().insert(number, Slot { sender: Some(sender), notes: Arc::new(Notes::of(request)) });
        number
    }

    /// Takes a request out for good, unless a response is on its way.
    pub(crate) fn close(&self, number: u64) -> Option<ResponseSender> {
        let mut open = self.open.lock();
        open.get(&number)?.sender.as_ref()?;
        let slot = open.remove(&number);
        self.note_emptied(&open);
        slot?.sender
    }

    /// Takes the sender for a response that others may follow; [`Slots::put_back`] or [`Slots::forget`] comes next.
    pub(crate) fn borrow(&self, number: u64) -> Option<(ResponseSender, Arc<Notes>)> {
        let mut open = self.open.lock();
        let slot = open.get_mut(&number)?;
        Some((slot.sender.take()?, slot.notes.clone()))
    }

    /// The response went out.
    pub(crate) fn put_back(&self, number: u64, sender: ResponseSender) {
        match self.open.lock().get_mut(&number) {
            Some(slot) => slot.sender = Some(sender),
            // The process ended meanwhile.
            None => sender.respond(Err(InferError::internal("the model's process ended"))),
        }
    }

    /// The last response of a borrowed sender goes out.
    pub(crate) fn forget(&self, number: u64) {
        let mut open = self.open.lock();
        open.remove(&number);
        self.note_emptied(&open);
    }

    pub(crate) fn is_cancelled(&self, number: u64) -> bool {
        let open = self.open.lock();
        open.get(&number).and_then(|slot| slot.sender.as_ref()).is_some_and(ResponseSender::is_cancelled)
    }

    pub(crate) fn notes(&self, number: u64) -> Option<Arc<Notes>> {
        self.open.lock().get(&number).map(|slot| slot.notes.clone())
    }

    /// Of every open request, lowest number first.
    pub(crate) fn all_notes(&self) -> Vec<Arc<Notes>> {
        let open = self.open.lock();
        let mut notes: Vec<_> = open.iter().map(|(number, slot)| (*number, slot.notes.clone())).collect();
        notes.sort_by_key(|(number, _)| *number);
        notes.into_iter().map(|(_, notes)| notes).collect()
    }

    /// Answers every request that is left.
    pub(crate) fn fail_all(&self, error: &InferError) {
        let left = std::mem::take(&mut *self.open.lock());
        self.emptied.notify_all();
        for sender in left.into_values().filter_map(|slot| slot.sender) {
            sender.respond(Err(error.clone()));
        }
    }

    /// Waits until none is open; returns whether that is so.
    pub(crate) fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut open = self.open.lock();
        while !open.is_empty() {
            if self.emptied.wait_until(&mut open, deadline).timed_out() {
                return open.is_empty();
            }
        }
        true
    }

    fn note_emptied(&self, open: &HashMap<u64, Slot>) {
        if open.is_empty() {
            self.emptied.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{InferRequest, InferResponse, Signature, response_channel};

    use super::*;

    fn request() -> CheckedRequest {
        Signature::default().check(InferRequest::new(vec![])).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_answered_once_whoever_tries() {
        let slots = Slots::default();
        let (sender, stream) = response_channel();
        let number = slots.open(&request(), sender);
        assert!(slots.close(number + 1).is_none());
        let (sender, _) = slots.borrow(number).unwrap();
        assert!(slots.borrow(number).is_none() && slots.close(number).is_none(), "a response is on its way");
        slots.put_back(number, sender);
        slots.close(number).unwrap().respond(Ok(InferResponse::default()));
        assert!(slots.close(number).is_none() && slots.borrow(number).is_none());
        assert!(stream.single().await.is_ok());
    }

    #[tokio::test]
    async fn what_is_left_when_the_process_ends_is_failed() {
        let slots = Slots::default();
        let ((first, one), (second, two)) = (response_channel(), response_channel());
        let numbers = [slots.open(&request(), first), slots.open(&request(), second)];
        let (borrowed, _) = slots.borrow(numbers[0]).unwrap();
        slots.fail_all(&InferError::internal("it ended"));
        slots.put_back(numbers[0], borrowed);
        assert_eq!(one.single().await.unwrap_err().message(), "the model's process ended");
        assert_eq!(two.single().await.unwrap_err().message(), "it ended");
        assert!(slots.wait_until_empty(Instant::now()));
    }
}
