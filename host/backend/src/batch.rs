//! The requests that are executed together, and their answers.
//!
//! A backend that answers everything before it returns uses [`Batch::respond`]: the worker counts the answers first and
//! sends them then, so that a client that reads its response and asks for statistics sees itself counted. A backend
//! that answers later, or more than once, takes the sender. One that is not done with a request gives the sender back with
//! [`Batch::reschedule`]: the request is executed again, in a later batch and perhaps with others beside it.

use std::time::Instant;

use nereid_inference::{CheckedRequest, InferError, InferResponse, ResponseSender};

/// Requests that are executed together.
pub struct Batch {
    items: Vec<Item>,
    timeline: Timeline,
}

/// When an execution reached its stages; a stage that a backend does not mark took no time.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    pub started: Instant,
    /// Inputs gathered; computation begins.
    pub inputs_ready: Option<Instant>,
    /// Computation over; outputs are being handed out.
    pub outputs_started: Option<Instant>,
}

/// One request after its execution.
pub struct FinishedRequest {
    pub request: CheckedRequest,
    /// `None` when the backend took the sender: it answers by itself, or this was a [`Step`].
    pub answer: Option<(ResponseSender, Result<InferResponse, InferError>)>,
    /// The request is to be executed again.
    pub step: Option<Step>,
}

/// One execution of a request that needs more of them.
pub struct Step {
    pub sender: ResponseSender,
    /// What the execution gave: the host keeps the states among its outputs, and nobody sees the rest.
    pub response: InferResponse,
}

struct Item {
    request: CheckedRequest,
    sender: Option<ResponseSender>,
    result: Option<Result<InferResponse, InferError>>,
    step: Option<Step>,
}

// === impl Batch ===

impl Batch {
    /// A batch that starts now.
    pub fn new(requests: impl IntoIterator<Item = (CheckedRequest, ResponseSender)>) -> Self {
        let started = Instant::now();
        let items = requests.into_iter().map(|(request, mut sender)| {
            sender.execution_started(started);
            Item { request, sender: Some(sender), result: None, step: None }
        });
        Self { items: items.collect(), timeline: Timeline { started, inputs_ready: None, outputs_started: None } }
    }

    /// How many requests.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The requests, in the order in which answers are given.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = &CheckedRequest> {
        self.items.iter().map(|item| &item.request)
    }

    /// Rows of all requests together; the batch size that the model sees.
    pub fn rows(&self) -> u64 {
        self.requests().map(CheckedRequest::batch_size).sum()
    }

    /// Answers the request at `index`; the first answer counts. Outputs in memory of a device are brought to the host for
    /// those who do not take them there, which blocks.
    pub fn respond(&mut self, index: usize, result: Result<InferResponse, InferError>) {
        if let Some(item) = self.items.get_mut(index) {
            let takes_device_memory = item.request.get().takes_device_memory;
            item.result.get_or_insert_with(|| match result {
                Ok(response) if !takes_device_memory => on_host(response),
                other => other,
            });
        }
    }

    /// Brings inputs in memory of a device to the host, for an instance that does not take them where they are. Blocks.
    ///
    /// # Errors
    /// A device could not be read.
    pub fn bring_inputs_to_host(&mut self) -> Result<(), InferError> {
        self.items.iter_mut().try_for_each(|item| item.request.bring_inputs_to_host())
    }

    /// Answers every request with what the batch as a whole was answered: a response each, in order, or one error for all.
    /// Nothing is done for a batch without requests.
    pub fn answer_all(&mut self, answer: impl FnOnce(&mut Self) -> Result<Vec<InferResponse>, InferError>) {
        if self.is_empty() {
            return;
        }
        match answer(self) {
            Ok(responses) => {
                responses.into_iter().enumerate().for_each(|(index, response)| self.respond(index, Ok(response)));
            }
            Err(error) => self.fail_all(&error),
        }
    }

    /// Answers every request that has no answer yet with the same error.
    pub fn fail_all(&mut self, error: &InferError) {
        for item in &mut self.items {
            item.result.get_or_insert_with(|| Err(error.clone()));
        }
    }

    /// Hands out the sender of the request at `index`, once, to a backend that answers later or more than once.
    pub fn take_sender(&mut self, index: usize) -> Option<ResponseSender> {
        self.items.get_mut(index)?.sender.take()
    }

    /// Gives a sender back that was taken and is not needed: the request is answered by [`Batch::respond`] after all.
    pub fn return_sender(&mut self, index: usize, sender: ResponseSender) {
        if let Some(item) = self.items.get_mut(index) {
            item.sender.get_or_insert(sender);
        }
    }

    /// Leaves the request at `index`, whose sender was taken, for a later execution, with all that it is now but its START.
    /// States among the outputs of `response` are what that execution is given; clients see what went through the sender.
    ///
    /// Only models with `sequence_batching { iterative_sequence: true }` may; for others it is an error of the request.
    pub fn reschedule(&mut self, index: usize, sender: ResponseSender, response: InferResponse) {
        if let Some(item) = self.items.get_mut(index).filter(|item| item.sender.is_none()) {
            item.step.get_or_insert(Step { sender, response });
        }
    }

    /// Whether the client of the request at `index` is gone.
    pub fn is_cancelled(&self, index: usize) -> bool {
        self.items.get(index).and_then(|item| item.sender.as_ref()).is_some_and(ResponseSender::is_cancelled)
    }

    /// Completes when the client of the request at `index` is gone; never, while it listens.
    pub async fn cancelled(&self, index: usize) {
        match self.items.get(index).and_then(|item| item.sender.as_ref()) {
            Some(sender) => sender.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Marks the end of gathering.
    pub fn mark_inputs_ready(&mut self) {
        self.timeline.inputs_ready = Some(Instant::now());
    }

    /// Marks the end of computation.
    pub fn mark_outputs_started(&mut self) {
        self.timeline.outputs_started = Some(Instant::now());
    }

    /// The marks.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// The requests with their answers; one that the backend forgot is answered with an error.
    pub fn finish(self) -> impl Iterator<Item = FinishedRequest> {
        self.items.into_iter().map(|item| {
            let forgotten = || Err(InferError::internal("the backend returned without answering the request"));
            let answer = item.sender.map(|sender| (sender, item.result.unwrap_or_else(forgotten)));
            FinishedRequest { request: item.request, answer, step: item.step }
        })
    }
}

fn on_host(mut response: InferResponse) -> Result<InferResponse, InferError> {
    response.bring_to_host()?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use nereid_inference::{InferRequest, Signature, response_channel};

    use super::*;

    fn checked() -> CheckedRequest {
        Signature::default().check(InferRequest::new(vec![])).unwrap()
    }

    #[tokio::test]
    async fn a_forgotten_request_is_answered_with_an_error() {
        let (sender, stream) = response_channel();
        for finished in Batch::new([(checked(), sender)]).finish() {
            let (sender, result) = finished.answer.unwrap();
            sender.respond(result);
        }
        let error = stream.single().await.unwrap_err();
        assert_eq!(error.message(), "the backend returned without answering the request");
    }

    #[test]
    fn the_first_answer_counts() {
        let (sender, _stream) = response_channel();
        let mut batch = Batch::new([(checked(), sender)]);
        batch.respond(0, Ok(InferResponse::default()));
        batch.fail_all(&InferError::internal("too late"));
        assert!(batch.finish().all(|finished| finished.answer.unwrap().1.is_ok()));
    }

    #[test]
    fn a_batch_is_answered_as_a_whole() {
        let answered = |answer: fn() -> Result<Vec<InferResponse>, InferError>| {
            let senders = [response_channel().0, response_channel().0];
            let mut batch = Batch::new(senders.map(|sender| (checked(), sender)));
            batch.answer_all(|_| answer());
            batch.finish().map(|finished| finished.answer.unwrap().1.is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(answered(|| Ok(vec![InferResponse::default(); 2])), [true, true]);
        assert_eq!(answered(|| Ok(vec![InferResponse::default()])), [true, false]);
        assert_eq!(answered(|| Err(InferError::internal("odd"))), [false, false]);
        Batch::new([]).answer_all(|_| panic!("asked for an empty batch"));
    }

    #[tokio::test]
    async fn a_request_is_rescheduled_with_its_sender_or_not_at_all() {
        let (sender, mut stream) = response_channel();
        let mut batch = Batch::new([(checked(), sender)]);
        let (other, _) = response_channel();
        batch.reschedule(0, other, InferResponse::default());
        let mut sender = batch.take_sender(0).unwrap();
        assert!(sender.send(Ok(InferResponse::default())).await);
        batch.reschedule(0, sender, InferResponse::default());
        let finished = batch.finish().next().unwrap();
        assert!(finished.answer.is_none());
        assert!(!stream.next().await.unwrap().last);
        finished.step.unwrap().sender.finish();
        assert!(stream.next().await.unwrap().last);
    }
}
