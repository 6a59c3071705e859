//! Sequences behind the worker: requests that are handed back, and the order of answers.

use nereid_inference::{Delivery, InferResponse, SequenceFlags, SequenceId};

use super::*;
use crate::{DirectSettings, SequenceStrategy};

/// Executes a batch when the test says so, and hands all of it back when the test says that.
struct StepGate {
    begun: UnboundedSender<usize>,
    again: UnboundedReceiver<bool>,
}

impl TaskInstance for StepGate {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            let _ = self.begun.send(batch.len());
            let again = self.again.recv().await == Some(true);
            for index in 0..batch.len() {
                match again.then(|| batch.take_sender(index)).flatten() {
                    Some(sender) => batch.reschedule(index, sender, InferResponse::default()),
                    None => batch.respond(index, Ok(InferResponse::default())),
                }
            }
        })
    }
}

fn step_gate() -> (Instance, UnboundedReceiver<usize>, UnboundedSender<bool>) {
    let (begun, begins) = unbounded_channel();
    let (say, again) = unbounded_channel();
    (Instance::Task(Box::new(StepGate { begun, again })), begins, say)
}

fn sequences(strategy: SequenceStrategy, slots: usize, iterative: bool) -> SchedulerSettings {
    let sequences = SequenceSettings {
        model_name: "m".into(),
        strategy,
        slots,
        idle_max: Duration::from_secs(3600),
        iterative,
        tensors: Arc::default(),
    };
    SchedulerSettings { sequences: Some(sequences), ..batching(Duration::ZERO) }
}

fn iterative() -> SchedulerSettings {
    sequences(SequenceStrategy::Oldest, 8, true)
}

fn submit_of(scheduler: &Scheduler, id: u64, start: bool, end: bool) -> ResponseStream {
    let (sender, stream) = response_channel();
    let mut request = request(0.0, 0);
    request.set_sequence(SequenceFlags { id: SequenceId::Number(id), start, end });
    scheduler.submit(request, sender);
    stream
}

fn steps(executions: u64, streams: Option<u64>, blocking: bool) -> Instance {
    fake(FakeBehaviour { executions: Some(executions), streams, blocking, ..Default::default() })
}

async fn deliveries(mut stream: ResponseStream) -> Vec<Delivery> {
    let mut all = Vec::new();
    while let Some(delivery) = stream.next().await {
        all.push(delivery);
    }
    all
}

#[tokio::test]
async fn a_request_is_executed_until_the_backend_is_done_with_it() {
    for blocking in [true, false] {
        let (scheduler, notes) = start(iterative(), steps(3, None, blocking));
        let response = submit(&scheduler, 7.0).single().await.unwrap();
        assert_eq!(response.output("Y").unwrap().elements::<f32>().unwrap().as_ref(), &[7.0]);
        assert_eq!(*notes.outcomes.lock(), [Outcome::Step, Outcome::Step, Outcome::Success]);
        assert_eq!(*notes.batches.lock(), [1, 1, 1]);
    }
}

#[tokio::test]
async fn every_step_may_send_responses() {
    let (scheduler, _) = start(iterative(), steps(3, Some(2), false));
    let all = deliveries(submit(&scheduler, 7.0)).await;
    assert_eq!(all.iter().filter(|delivery| delivery.response.is_some()).count(), 6);
    assert_eq!(all.iter().map(|delivery| delivery.last).collect::<Vec<_>>(), [vec![false; 6], vec![true]].concat());
}

#[tokio::test]
async fn a_new_request_joins_the_next_step_of_an_old_one() {
    let (instance, mut begins, say) = step_gate();
    let (scheduler, notes) = start(iterative(), instance);
    let old = submit(&scheduler, 0.0);
    assert_eq!(begins.recv().await, Some(1));
    let new = submit(&scheduler, 1.0);
    say.send(true).unwrap();
    assert_eq!(begins.recv().await, Some(2));
    say.send(false).unwrap();
    old.single().await.unwrap();
    new.single().await.unwrap();
    assert_eq!(*notes.outcomes.lock(), [Outcome::Step, Outcome::Success, Outcome::Success]);
}

#[tokio::test]
async fn a_request_whose_client_leaves_between_two_steps_is_not_executed_again() {
    let (instance, mut begins, say) = step_gate();
    let (scheduler, notes) = start(iterative(), instance);
    let leaves = submit(&scheduler, 0.0);
    assert_eq!(begins.recv().await, Some(1));
    drop(leaves);
    say.send(true).unwrap();
    let stays = submit(&scheduler, 1.0);
    assert_eq!(begins.recv().await, Some(1));
    say.send(false).unwrap();
    stays.single().await.unwrap();
    let outcomes = [Outcome::Step, Outcome::Failure(FailureReason::Cancelled), Outcome::Success];
    assert_eq!(*notes.outcomes.lock(), outcomes);
}

#[tokio::test]
async fn a_scheduler_that_is_dropped_makes_the_steps_that_are_left() {
    for blocking in [true, false] {
        let (scheduler, notes) = start(iterative(), steps(50, None, blocking));
        let streams: Vec<_> = (0..20).map(|value| submit(&scheduler, value as f32)).collect();
        drop(scheduler);
        for stream in streams {
            stream.single().await.unwrap();
        }
        assert_eq!(notes.outcomes.lock().len(), 20 * 50);
    }
}

#[tokio::test]
async fn other_models_may_not_hand_a_request_back() {
    let direct = SequenceStrategy::Direct(DirectSettings::default());
    for settings in [SchedulerSettings::unbatched(), sequences(direct, 8, false)] {
        let (scheduler, notes) = start(settings, steps(2, None, false));
        let error = submit_of(&scheduler, 1, true, false).single().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            error.message(),
            "Request is released with TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, while the model is not configured to \
             handle such a flag."
        );
        assert_eq!(*notes.outcomes.lock(), [Outcome::Failure(FailureReason::Backend)]);
    }
}

/// In order of arrival, the answer to the second request of the first sequence would wait for the second sequence, which
/// waits for the seat that the first has until its client, who waits for that answer, ends it.
#[tokio::test]
async fn order_among_sequences_does_not_hold_back_the_answer_that_one_needs_to_go_on() {
    let settings = SchedulerSettings { preserve_order: true, ..sequences(SequenceStrategy::Oldest, 1, false) };
    let (scheduler, _) = start(settings, fake(FakeBehaviour::default()));
    submit_of(&scheduler, 1, true, false).single().await.unwrap();
    let waits = submit_of(&scheduler, 2, true, true);
    let goes_on = submit_of(&scheduler, 1, false, false);
    goes_on.single().now_or_never().expect("held back").unwrap();
    submit_of(&scheduler, 1, false, true).single().await.unwrap();
    waits.single().await.unwrap();
}
