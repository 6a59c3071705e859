//! Who is told of every response of a request, for statistics per response.
//!
//! A watch is put on a [`ResponseSender`](crate::ResponseSender) before it is handed on; the sender reports each response as it leaves.
//! Costs one branch per response without a watch, and two readings of the clock with one.

use std::{sync::Arc, time::Instant};

/// Told of responses on whatever thread sends them, so it must be quick.
pub trait ResponseObserver: Send + Sync {
    /// A response has left, or was found to have nobody to go to.
    fn response_sent(&self, response: &ResponseRecord);
}

/// One response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseRecord {
    /// Its place among the responses of its request.
    pub index: u64,
    pub outcome: ResponseOutcome,
    /// When work on it began: with the execution, or when the response before it had left. `None` for the answer to a
    /// request that never ran.
    pub started: Option<Instant>,
    /// When the model handed it over.
    pub handed_over: Instant,
    /// When there was room for it on the way to the reader.
    pub ended: Instant,
}

/// What a response was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseOutcome {
    Success,
    Failure,
    /// The end of the stream, with nothing in it.
    Empty,
    /// The reader was gone. The last that is reported.
    Cancelled,
}

/// The observer of one request's responses, and where the next one begins.
pub(crate) struct ResponseWatch {
    observer: Arc<dyn ResponseObserver>,
    next_index: u64,
    next_started: Option<Instant>,
    cancelled: bool,
}

// === impl ResponseWatch ===

impl ResponseWatch {
    pub(crate) fn new(observer: Arc<dyn ResponseObserver>) -> Self {
        Self { observer, next_index: 0, next_started: None, cancelled: false }
    }

    /// The execution that works on the first response has begun.
    pub(crate) fn execution_started(&mut self, at: Instant) {
        self.next_started = Some(at);
    }

    pub(crate) fn sent(&mut self, outcome: ResponseOutcome, handed_over: Instant) {
        if self.cancelled {
            return;
        }
        let ended = Instant::now();
        let (index, started) = (self.next_index, self.next_started);
        self.observer.response_sent(&ResponseRecord { index, outcome, started, handed_over, ended });
        self.next_index += 1;
        self.next_started = started.map(|_| ended);
        self.cancelled = outcome == ResponseOutcome::Cancelled;
    }
}

#[cfg(test)]
mod tests {
    use nereid_sync::Mutex;

    use super::*;
    use crate::{InferError, InferResponse, ResponseSender, ResponseStream, response_channel};

    #[derive(Default)]
    struct Records(Mutex<Vec<ResponseRecord>>);

    impl ResponseObserver for Records {
        fn response_sent(&self, response: &ResponseRecord) {
            self.0.lock().push(*response);
        }
    }

    fn watched() -> (Arc<Records>, ResponseSender, ResponseStream) {
        let records = Arc::new(Records::default());
        let (mut sender, stream) = response_channel();
        sender.watch(records.clone());
        (records, sender, stream)
    }

    #[track_caller]
    fn check(records: &Records, expected: &[ResponseOutcome]) {
        let records = records.0.lock();
        let found: Vec<_> = records.iter().map(|record| (record.index, record.outcome)).collect();
        let expected: Vec<_> = (0..).zip(expected.iter().copied()).collect();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn every_response_is_reported_with_its_place_and_outcome() {
        let (records, mut sender, _stream) = watched();
        sender.send(Ok(InferResponse::default())).await;
        sender.send(Err(InferError::internal("second"))).await;
        sender.finish();
        check(&records, &[ResponseOutcome::Success, ResponseOutcome::Failure, ResponseOutcome::Empty]);
    }

    #[tokio::test]
    async fn a_response_begins_where_the_one_before_ended() {
        let (records, mut sender, _stream) = watched();
        let started = Instant::now();
        sender.execution_started(started);
        sender.send(Ok(InferResponse::default())).await;
        sender.respond(Ok(InferResponse::default()));
        let records = records.0.lock();
        assert_eq!(records[0].started, Some(started));
        assert_eq!(records[1].started, Some(records[0].ended));
        assert!(records.iter().all(|record| record.started <= Some(record.handed_over)));
        assert!(records.iter().all(|record| record.handed_over <= record.ended));
    }

    #[tokio::test]
    async fn the_first_response_without_a_reader_is_the_last_reported() {
        let (records, mut sender, stream) = watched();
        sender.send(Ok(InferResponse::default())).await;
        drop(stream);
        sender.send(Ok(InferResponse::default())).await;
        sender.respond(Ok(InferResponse::default()));
        check(&records, &[ResponseOutcome::Success, ResponseOutcome::Cancelled]);
    }

    #[test]
    fn a_request_that_never_ran_has_no_start() {
        let (records, sender, _stream) = watched();
        drop(sender);
        check(&records, &[ResponseOutcome::Failure]);
        assert_eq!(records.0.lock()[0].started, None);
    }
}
