//! What a request costs the scheduler while others wait: one execution ends, the next is put together and starts, and one more
//! request arrives, so that as many wait as before. The executions themselves do nothing.
//!
//! `cargo bench -p nereid-benches --bench queue`. Parameters are the requests that wait. For a count of instructions, which no
//! other program on the machine disturbs, `NEREID_TURNS="POLICY WAITING TURNS"` makes so many turns and ends; POLICY is a
//! place in the list below, from 0.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group};
use nereid_backend::{Batch, ExecuteFuture, Instance, TaskInstance};
use nereid_inference::{
    BatchDecision, CheckedRequest, InferRequest, InferResponse, NamedTensor, ResponseStream, SequenceFlags, SequenceId,
    Signature, TensorSpec, response_channel,
};
use nereid_scheduler::{
    BatchingSettings, Demand, DirectSettings, ExecutionRecord, NewInstance, Observer, PrioritySettings, QueuePolicy,
    QueueSettings, RequestRecord, Scheduler, SchedulerSettings, SequenceSettings, SequenceStrategy,
};
use nereid_tensor::{DataType, Tensor};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

const WAITING: [usize; 4] = [10, 100, 1_000, 10_000];

/// More than ever wait.
const REQUESTS_MAX: usize = 20_000;

criterion_group!(queue, turn);

fn main() {
    match std::env::var("NEREID_TURNS") {
        Ok(turns) => make_turns(&turns),
        Err(_) => {
            queue();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}

fn make_turns(turns: &str) {
    let numbers: Vec<usize> = turns.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [policy, waiting, turns] = numbers[..] else { panic!("NEREID_TURNS is not three numbers: {turns}") };
    let (_, settings, request) = policies().swap_remove(policy);
    let mut line = Line::new(settings, request, waiting);
    (0..turns).for_each(|_| line.turn());
}

fn turn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    for (name, settings, request) in policies() {
        for waiting in WAITING {
            let mut line = Line::new(settings.clone(), request, waiting);
            group.bench_with_input(BenchmarkId::new(name, waiting), &(), |bencher, ()| bencher.iter(|| line.turn()));
        }
    }
    group.finish();
}

type MakeRequest = fn(u64) -> CheckedRequest;

/// What is measured: the settings, and the request with a number.
fn policies() -> Vec<(&'static str, SchedulerSettings, MakeRequest)> {
    let queue = QueuePolicy { requests_max: REQUESTS_MAX, ..QueuePolicy::default() };
    let timed = QueuePolicy { timeout: Some(Duration::from_secs(3_600)), ..queue.clone() };
    let one_by_one = SchedulerSettings { queue: queue.clone().into(), ..SchedulerSettings::unbatched() };
    let batching = BatchingSettings { preferred_rows: vec![4], delay_max: Duration::from_secs(3_600) };
    let batched = SchedulerSettings { batch_rows_max: 8, batching: Some(batching), ..one_by_one.clone() };
    let priorities = PrioritySettings { levels: 10, default_level: 5, policies: Default::default() };
    let urgent =
        SchedulerSettings { queue: QueueSettings { priorities: Some(priorities), ..timed.into() }, ..batched.clone() };
    let sequences = |strategy, slots| SchedulerSettings {
        sequences: Some(SequenceSettings {
            model_name: "m".into(),
            strategy,
            slots,
            idle_max: Duration::from_secs(3_600),
            iterative: false,
            tensors: Arc::default(),
        }),
        ..batched.clone()
    };
    let direct = sequences(SequenceStrategy::Direct(DirectSettings::default()), 4);
    let oldest = sequences(SequenceStrategy::Oldest, REQUESTS_MAX);
    vec![
        ("one by one", one_by_one, |_| request(0, None)),
        ("batches of 4", batched, |_| request(0, None)),
        ("batches of 4, priorities, timeouts", urgent, |number| request(number % 10, None)),
        ("direct, a sequence each, in the backlog", direct.clone(), |number| request(0, Some((number, true, true)))),
        ("direct, all of 4 sequences", direct, |number| request(0, Some((number % 4, number < 4, false)))),
        ("oldest, a seat each", oldest, |number| request(0, Some((number, true, true)))),
    ]
}

/// A request of a priority; with a sequence, its number, and whether it starts and ends it.
fn request(priority: u64, sequence: Option<(u64, bool, bool)>) -> CheckedRequest {
    let spec = TensorSpec { name: "X".into(), data_type: DataType::Fp32, dims: vec![1], optional: false };
    let signature = Signature { inputs: vec![spec], max_batch_size: 8, ..Signature::default() };
    let tensor = Tensor::from_elements([1, 1], &[1.0_f32]).unwrap();
    let flags = |(number, start, end)| SequenceFlags { id: SequenceId::Number(number + 1), start, end };
    let mut request = InferRequest { priority, ..InferRequest::new(vec![NamedTensor::new("X", tensor)]) };
    request.sequence = sequence.map(flags);
    signature.check(request).unwrap()
}

/// A scheduler with requests that wait.
struct Line {
    runtime: Runtime,
    scheduler: Scheduler,
    begins: UnboundedReceiver<usize>,
    end: UnboundedSender<()>,
    request: MakeRequest,
    next: u64,
    /// Dropping them would cancel the requests.
    streams: std::collections::VecDeque<ResponseStream>,
}

struct Gate {
    begun: UnboundedSender<usize>,
    end: UnboundedReceiver<()>,
}

struct Nobody;

impl Observer for Nobody {
    fn waiting_changed(&self, _: usize) {}
    fn batch_decided(&self, _: BatchDecision) {}
    fn batch_executed(&self, _: &ExecutionRecord) {}
    fn request_finished(&self, _: &RequestRecord) {}
}

// === impl Line ===

impl Line {
    fn new(settings: SchedulerSettings, request: MakeRequest, waiting: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let ((begun, begins), (end, ends)) = (unbounded_channel(), unbounded_channel());
        let instance = Instance::Task(Box::new(Gate { begun, end: ends }));
        let scheduler = {
            let _within = runtime.enter();
            let instance =
                NewInstance { name: "m_0".to_owned(), instance, gpu: None, cores: None, demand: Demand::default() };
            Scheduler::start(settings, vec![instance], Arc::new(Nobody)).unwrap()
        };
        let mut line = Self { runtime, scheduler, begins, end, request, next: 0, streams: Default::default() };
        // The batch that starts at once, and those who wait behind it.
        (0..waiting + 4).for_each(|_| line.submit());
        line.runtime.block_on(line.begins.recv()).unwrap();
        line
    }

    fn submit(&mut self) {
        let _within = self.runtime.enter();
        let (sender, stream) = response_channel();
        self.scheduler.submit((self.request)(self.next), sender);
        self.next += 1;
        self.streams.push_back(stream);
    }

    /// An execution ends, the next begins, and as many requests arrive as it took.
    fn turn(&mut self) {
        self.end.send(()).unwrap();
        let taken = self.runtime.block_on(self.begins.recv()).unwrap();
        (0..taken).for_each(|_| self.submit());
        while self.streams.len() > 3 * REQUESTS_MAX {
            self.streams.pop_front();
        }
    }
}

impl TaskInstance for Gate {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            let _ = self.begun.send(batch.len());
            let _ = self.end.recv().await;
            for index in 0..batch.len() {
                batch.respond(index, Ok(InferResponse::default()));
            }
        })
    }
}
