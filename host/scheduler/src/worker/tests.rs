//! The worker with fake instances: what runs where, and what happens to those who cannot run.

mod limited;
mod ragged;
mod sequences;
mod strategy;

use std::{thread, time::Duration};

use nereid_backend::{
    BlockingInstance, ExecuteFuture, Instance, TaskInstance,
    fake::{FakeBehaviour, FakeInstance},
};
use nereid_inference::{
    Awaited, BatchDecision, BatchReason, ErrorKind, InferRequest, NamedTensor, ResponseStream, Signature, TensorSpec,
    response_channel,
};
use nereid_tensor::{DataType, Tensor};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::{
    BatchingSettings, Demand, ExecutionRecord, FailureReason, Outcome, PrioritySettings, QueuePolicy, QueueSettings,
    RequestRecord, StrategyEnd,
};

/// Remembers what it was told.
#[derive(Default)]
struct Notes {
    batches: Mutex<Vec<u64>>,
    outcomes: Mutex<Vec<Outcome>>,
    /// Of batches, then of requests.
    gpus: [Mutex<Vec<Option<i32>>>; 2],
    decisions: Mutex<Vec<BatchDecision>>,
    strategy: Mutex<Vec<StrategyEnd>>,
}

impl Observer for Notes {
    fn waiting_changed(&self, _waiting: usize) {}

    fn batch_decided(&self, decision: BatchDecision) {
        self.decisions.lock().push(decision);
    }

    fn batch_executed(&self, execution: &ExecutionRecord) {
        self.batches.lock().push(execution.rows);
        self.gpus[0].lock().push(execution.gpu);
    }

    fn request_finished(&self, request: &RequestRecord) {
        self.outcomes.lock().push(request.outcome);
        self.gpus[1].lock().push(request.execution.and_then(|execution| execution.gpu));
    }

    fn strategy_asked(&self, end: StrategyEnd) {
        self.strategy.lock().push(end);
    }
}

/// Executes a batch when the test says so, and tells when it begins.
struct Gate {
    begun: UnboundedSender<usize>,
    open: UnboundedReceiver<()>,
}

impl TaskInstance for Gate {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            let _ = self.begun.send(batch.len());
            self.open.recv().await;
            for index in 0..batch.len() {
                batch.respond(index, Ok(Default::default()));
            }
        })
    }
}

fn request(value: f32, priority: u64) -> CheckedRequest {
    let spec = TensorSpec { name: "X".into(), data_type: DataType::Fp32, dims: vec![1], optional: false };
    let signature = Signature { inputs: vec![spec], max_batch_size: 8, ..Signature::default() };
    let tensor = Tensor::from_elements([1, 1], &[value]).unwrap();
    signature.check(InferRequest { priority, ..InferRequest::new(vec![NamedTensor::new("X", tensor)]) }).unwrap()
}

fn submit(scheduler: &Scheduler, value: f32) -> ResponseStream {
    let (sender, stream) = response_channel();
    scheduler.submit(request(value, 0), sender);
    stream
}

fn named(name: &str, instance: Instance) -> NewInstance {
    NewInstance { name: name.to_owned(), instance, gpu: None, demand: Demand::default(), cores: None }
}

fn start(settings: SchedulerSettings, instance: Instance) -> (Scheduler, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let instances = vec![named("m_0", instance)];
    (Scheduler::start(settings, instances, notes.clone()).unwrap(), notes)
}

fn fake(behaviour: FakeBehaviour) -> Instance {
    FakeInstance { behaviour, outputs: vec!["Y".into()], ..Default::default() }.into_instance()
}

fn gate() -> (Instance, UnboundedReceiver<usize>, UnboundedSender<()>) {
    let (begun, begins) = unbounded_channel();
    let (opener, open) = unbounded_channel();
    (Instance::Task(Box::new(Gate { begun, open })), begins, opener)
}

fn batching(delay_max: Duration) -> SchedulerSettings {
    let batching = BatchingSettings { preferred_rows: vec![], delay_max };
    SchedulerSettings { batch_rows_max: 8, batching: Some(batching), ..SchedulerSettings::unbatched() }
}

#[tokio::test]
async fn an_idle_task_instance_answers_before_submit_returns() {
    let (scheduler, notes) = start(SchedulerSettings::unbatched(), fake(FakeBehaviour::default()));
    let stream = submit(&scheduler, 7.0);
    let response = stream.single().now_or_never().unwrap().unwrap();
    assert_eq!(response.output("Y").unwrap().elements::<f32>().unwrap().as_ref(), &[7.0]);
    assert_eq!(*notes.outcomes.lock(), [Outcome::Success]);
}

#[tokio::test]
async fn executions_say_on_which_gpu_they_were() {
    for blocking in [false, true] {
        for gpu in [None, Some(0), Some(3)] {
            let notes = Arc::new(Notes::default());
            let instance = fake(FakeBehaviour { blocking, ..Default::default() });
            let instances = vec![NewInstance { gpu, ..named("m_0", instance) }];
            let scheduler = Scheduler::start(SchedulerSettings::unbatched(), instances, notes.clone()).unwrap();
            submit(&scheduler, 1.0).single().await.unwrap();
            assert_eq!(notes.gpus.each_ref().map(|gpus| gpus.lock().clone()), [vec![gpu], vec![gpu]]);
        }
    }
}

#[tokio::test]
async fn a_blocking_instance_answers_from_its_thread() {
    let behaviour = FakeBehaviour { blocking: true, ..Default::default() };
    let (scheduler, _) = start(SchedulerSettings::unbatched(), fake(behaviour));
    for value in 0..50 {
        let response = submit(&scheduler, value as f32).single().await.unwrap();
        assert_eq!(response.output("Y").unwrap().elements::<f32>().unwrap().as_ref(), &[value as f32]);
    }
}

/// Tells which thread executed.
struct Witness(UnboundedSender<thread::ThreadId>);

impl BlockingInstance for Witness {
    fn execute(&mut self, batch: &mut Batch) {
        let _ = self.0.send(thread::current().id());
        batch.respond(0, Ok(Default::default()));
    }
}

/// Whether one of `count` requests, sent one after another, was executed by the caller.
async fn caller_executes(brief_execution_max: Duration, count: usize) -> bool {
    let (sender, mut threads) = unbounded_channel();
    let settings = SchedulerSettings { brief_execution_max, ..SchedulerSettings::unbatched() };
    let (scheduler, _) = start(settings, Instance::Blocking(Box::new(Witness(sender))));
    for _ in 0..count {
        submit(&scheduler, 0.0).single().await.unwrap();
        if threads.recv().await == Some(thread::current().id()) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_brief_blocking_execution_is_run_by_the_caller_once_it_is_known_to_be_brief() {
    let always_brief = Duration::from_secs(3600);
    assert!(!caller_executes(always_brief, 8).await, "the first eight are not known to be brief");
    // A request that comes before the thread has reported its instance idle is the thread's: not every one is ours.
    assert!(caller_executes(always_brief, 10_000).await);
    assert!(!caller_executes(Duration::ZERO, 100).await, "nothing is brief");
}

#[tokio::test]
async fn what_waits_while_an_instance_is_busy_becomes_one_batch() {
    let (instance, mut begins, opener) = gate();
    let (scheduler, notes) = start(batching(Duration::ZERO), instance);
    let streams: Vec<_> = (0..5).map(|value| submit(&scheduler, value as f32)).collect();
    assert_eq!(begins.recv().await, Some(1));
    opener.send(()).unwrap();
    assert_eq!(begins.recv().await, Some(4));
    opener.send(()).unwrap();
    for stream in streams {
        stream.single().await.unwrap();
    }
    assert_eq!(*notes.batches.lock(), [1, 4]);
}

#[tokio::test]
async fn urgent_requests_overtake_those_that_wait() {
    let (instance, _begins, opener) = gate();
    let priorities = PrioritySettings { levels: 3, default_level: 2, policies: Default::default() };
    let queue = QueueSettings { priorities: Some(priorities), ..QueueSettings::default() };
    let settings = SchedulerSettings { queue, ..SchedulerSettings::unbatched() };
    let (scheduler, _) = start(settings, instance);
    let running = submit(&scheduler, 0.0);
    let (sender, finished) = std::sync::mpsc::channel();
    let readers: Vec<_> = [3, 0, 1]
        .map(|priority| {
            let (response_sender, stream) = response_channel();
            scheduler.submit(request(0.0, priority), response_sender);
            let sender = sender.clone();
            tokio::spawn(async move { stream.single().await.map(|_| sender.send(priority)) })
        })
        .into();
    tokio::task::yield_now().await;
    opener.send(()).unwrap();
    running.single().await.unwrap();
    for _ in &readers {
        opener.send(()).unwrap();
    }
    for reader in readers {
        reader.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(finished.try_iter().collect::<Vec<_>>(), [1, 0, 3]);
}

#[tokio::test]
async fn answers_of_several_instances_come_in_order_when_order_is_preserved() {
    let ((slow, mut slow_begins, slow_opener), (fast, mut fast_begins, fast_opener)) = (gate(), gate());
    let settings = SchedulerSettings { preserve_order: true, ..SchedulerSettings::unbatched() };
    let notes = Arc::new(Notes::default());
    let instances = vec![named("m_0", slow), named("m_1", fast)];
    let scheduler = Scheduler::start(settings, instances, notes.clone()).unwrap();
    let (mut first, mut second) = (submit(&scheduler, 0.0), submit(&scheduler, 1.0));
    assert_eq!((slow_begins.recv().await, fast_begins.recv().await), (Some(1), Some(1)));
    fast_opener.send(()).unwrap();
    while notes.outcomes.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(second.next().now_or_never().is_none(), "the second is answered, and the first is not");
    slow_opener.send(()).unwrap();
    assert!(first.next().await.unwrap().response.unwrap().is_ok());
    assert!(second.next().await.unwrap().response.unwrap().is_ok());
}

#[tokio::test]
async fn a_request_whose_client_is_gone_is_not_executed() {
    let (instance, mut begins, opener) = gate();
    let (scheduler, notes) = start(SchedulerSettings::unbatched(), instance);
    let running = submit(&scheduler, 0.0);
    drop(submit(&scheduler, 1.0));
    let waiting = submit(&scheduler, 2.0);
    opener.send(()).unwrap();
    opener.send(()).unwrap();
    running.single().await.unwrap();
    waiting.single().await.unwrap();
    assert_eq!((begins.recv().await, begins.recv().await), (Some(1), Some(1)));
    assert!(begins.try_recv().is_err());
    assert!(notes.outcomes.lock().contains(&Outcome::Failure(FailureReason::Cancelled)));
}

#[tokio::test]
async fn a_full_queue_refuses_with_tritons_text() {
    let (instance, _begins, _opener) = gate();
    let queue = QueuePolicy { requests_max: 1, ..Default::default() };
    let (scheduler, notes) =
        start(SchedulerSettings { queue: queue.into(), ..SchedulerSettings::unbatched() }, instance);
    let _running = submit(&scheduler, 0.0);
    let _waiting = submit(&scheduler, 1.0);
    let error = submit(&scheduler, 2.0).single().await.unwrap_err();
    assert_eq!(error.message(), "[request id: <id_unknown>] Exceeds maximum queue size");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(*notes.outcomes.lock(), [Outcome::Failure(FailureReason::Rejected)]);
}

#[tokio::test]
async fn a_request_times_out_while_every_instance_is_busy() {
    let (instance, _begins, _opener) = gate();
    let queue = QueuePolicy { timeout: Some(Duration::from_nanos(1)), ..Default::default() };
    let (scheduler, _) = start(SchedulerSettings { queue: queue.into(), ..SchedulerSettings::unbatched() }, instance);
    let _running = submit(&scheduler, 0.0);
    let error = submit(&scheduler, 1.0).single().await.unwrap_err();
    assert_eq!(error.message(), "[request id: <id_unknown>] Request timeout expired");
}

#[tokio::test]
async fn a_delayed_batch_goes_when_its_time_comes() {
    let (scheduler, notes) = start(batching(Duration::from_millis(2)), fake(FakeBehaviour::default()));
    let (one, two) = (submit(&scheduler, 1.0), submit(&scheduler, 2.0));
    one.single().await.unwrap();
    two.single().await.unwrap();
    assert_eq!(notes.batches.lock().iter().sum::<u64>(), 2);
    let decisions = notes.decisions.lock();
    assert_eq!((decisions[0].reason, decisions[0].awaited), (BatchReason::DelayOver, Awaited::Company));
}

#[tokio::test]
async fn a_panic_answers_its_batch_and_the_instance_goes_on() {
    for blocking in [true, false] {
        let behaviour = FakeBehaviour { blocking, panics: true, ..Default::default() };
        let (scheduler, notes) = start(SchedulerSettings::unbatched(), fake(behaviour));
        for _ in 0..2 {
            let error = submit(&scheduler, 1.0).single().await.unwrap_err();
            assert_eq!(error.message(), "the backend panicked: the fake was told to panic");
        }
        assert_eq!(*notes.outcomes.lock(), [Outcome::Failure(FailureReason::Backend); 2]);
    }
}

#[tokio::test]
async fn dropping_the_scheduler_answers_what_it_admitted() {
    let behaviour = FakeBehaviour { blocking: true, ..Default::default() };
    let (scheduler, notes) = start(batching(Duration::from_secs(3600)), fake(behaviour));
    let streams: Vec<_> = (0..20).map(|value| submit(&scheduler, value as f32)).collect();
    drop(scheduler);
    for stream in streams {
        stream.single().await.unwrap();
    }
    assert_eq!(notes.outcomes.lock().len(), 20);
}

#[tokio::test]
async fn an_instance_added_while_it_serves_takes_what_waits() {
    let (busy, mut begins, opener) = gate();
    let (scheduler, _) = start(SchedulerSettings::unbatched(), busy);
    let running = submit(&scheduler, 0.0);
    let waiting = submit(&scheduler, 1.0);
    scheduler.add_instance(named("m_1", fake(FakeBehaviour::default()))).unwrap();
    waiting.single().await.unwrap();
    opener.send(()).unwrap();
    running.single().await.unwrap();
    assert_eq!((begins.recv().await, begins.try_recv().is_err()), (Some(1), true));
}

#[tokio::test]
async fn a_retired_instance_finishes_its_request_and_gets_no_other() {
    let (leaving, mut begins, opener) = gate();
    let (scheduler, _) = start(SchedulerSettings::unbatched(), leaving);
    let running = submit(&scheduler, 0.0);
    assert_eq!(begins.recv().await, Some(1));
    let [first] = scheduler.instance_ids()[..] else { panic!("one instance was started") };
    let blocking = FakeBehaviour { blocking: true, ..Default::default() };
    scheduler.add_instance(named("m_1", fake(blocking))).unwrap();
    scheduler.retire_instance(first);
    for value in 0..20 {
        submit(&scheduler, value as f32).single().await.unwrap();
    }
    opener.send(()).unwrap();
    running.single().await.unwrap();
    assert_eq!(begins.recv().await, None, "the instance is dropped with its last request, and got no other");
    assert_eq!(scheduler.instance_ids().len(), 1);
}

#[tokio::test]
async fn no_request_is_lost_while_instances_come_and_go() {
    let blocking = |blocking| fake(FakeBehaviour { blocking, ..Default::default() });
    let (scheduler, notes) = start(SchedulerSettings::unbatched(), blocking(true));
    let scheduler = Arc::new(scheduler);
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let scheduler = scheduler.clone();
            tokio::spawn(async move {
                for value in 0..500 {
                    submit(&scheduler, value as f32).single().await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut round = 0;
    while !senders.iter().all(tokio::task::JoinHandle::is_finished) {
        let before = scheduler.instance_ids();
        scheduler.add_instance(named("more", blocking(round % 2 == 0))).unwrap();
        before.into_iter().for_each(|instance| scheduler.retire_instance(instance));
        round += 1;
        tokio::task::yield_now().await;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(round > 1);
    assert_eq!(*notes.outcomes.lock(), [Outcome::Success; 2_000]);
}
