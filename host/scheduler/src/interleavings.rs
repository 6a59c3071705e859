//! A whole scheduler under many orders in which clients, instances and whoever changes them can take their steps. A request
//! that is lost, a wake-up that is missed or a thread that is not let go is a deadlock, which shuttle reports.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nereid_backend::fake::{FakeBehaviour, FakeInstance};
use nereid_inference::{
    BatchDecision, CheckedRequest, InferRequest, NamedTensor, ResponseStream, Signature, TensorSpec, response_channel,
};
use nereid_sync::{
    shuttle::{Config, Runner, future::block_on, scheduler::PctScheduler},
    thread,
};
use nereid_tensor::{DataType, Tensor};
use tokio::runtime::Runtime;

use crate::{
    BatchingSettings, Demand, ExecutionRecord, NewInstance, Observer, Outcome, RateLimiter, RequestRecord, Resource,
    Scheduler, SchedulerSettings, Scope, Supply,
};

/// Orders tried of each story.
const ORDERS: usize = 500;

/// How many times an order departs from running each thread as long as it can.
const DEPARTURES: usize = 4;

/// A scheduler goes deeper than shuttle's usual 32 KiB, built without optimisation.
const STACK_BYTES: usize = 512 << 10;

/// Schedulers want one; nothing runs on it here.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().unwrap());

#[derive(Default)]
struct Counts {
    succeeded: AtomicUsize,
    failed: AtomicUsize,
    batched: AtomicUsize,
}

impl Observer for Counts {
    fn waiting_changed(&self, _: usize) {}

    fn batch_decided(&self, decision: BatchDecision) {
        self.batched.fetch_add(decision.requests, Ordering::Relaxed);
    }

    fn batch_executed(&self, _: &ExecutionRecord) {}

    fn request_finished(&self, request: &RequestRecord) {
        let count = if request.outcome == Outcome::Success { &self.succeeded } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn check(story: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(PctScheduler::new(DEPARTURES, ORDERS), config).run(story);
}

fn request() -> CheckedRequest {
    let spec = TensorSpec { name: "X".into(), data_type: DataType::Fp32, dims: vec![1], optional: false };
    let signature = Signature { inputs: vec![spec], max_batch_size: 8, ..Signature::default() };
    let tensor = Tensor::from_elements([1, 1], &[1.0_f32]).unwrap();
    signature.check(InferRequest::new(vec![NamedTensor::new("X", tensor)])).unwrap()
}

fn instance(name: &str) -> NewInstance {
    limited(name, 0, &FakeBehaviour::default())
}

/// An instance whose executions take so much of the one resource; `behaviour` counts those under way.
fn limited(name: &str, count: u64, behaviour: &FakeBehaviour) -> NewInstance {
    let behaviour = FakeBehaviour { blocking: true, ..behaviour.clone() };
    let instance = FakeInstance { behaviour, outputs: vec!["Y".into()], ..Default::default() }.into_instance();
    let resource = Resource { name: "R".into(), scope: Scope::Global };
    let demand = match count {
        0 => Demand::default(),
        count => Demand { resources: [(resource, count)].into(), priority: 1 },
    };
    NewInstance { name: name.to_owned(), instance, gpu: None, demand, cores: None }
}

/// One of the resource.
fn scarce() -> Arc<RateLimiter> {
    RateLimiter::new(vec![Supply { name: "R".to_owned(), count: 1, device: None }])
}

/// Batches, waits for nothing, and leaves every execution to the instance's thread.
fn start(instances: usize) -> (Arc<Scheduler>, Arc<Counts>) {
    start_with((0..instances).map(|index| instance(&format!("m_{index}"))).collect(), None)
}

fn start_with(instances: Vec<NewInstance>, rate_limiter: Option<Arc<RateLimiter>>) -> (Arc<Scheduler>, Arc<Counts>) {
    let batching = BatchingSettings { preferred_rows: vec![], delay_max: Duration::ZERO };
    let settings = SchedulerSettings {
        batch_rows_max: 8,
        batching: Some(batching),
        brief_execution_max: Duration::ZERO,
        rate_limiter,
        ..SchedulerSettings::unbatched()
    };
    let counts = Arc::new(Counts::default());
    let _within = RUNTIME.enter();
    (Arc::new(Scheduler::start(settings, instances, counts.clone()).unwrap()), counts)
}

fn submit(scheduler: &Scheduler) -> ResponseStream {
    let (sender, stream) = response_channel();
    scheduler.submit(request(), sender);
    stream
}

/// Clients that send one request after another, each on a thread.
fn clients(scheduler: &Arc<Scheduler>, clients: usize, requests: usize) -> Vec<thread::JoinHandle<()>> {
    let client = |scheduler: Arc<Scheduler>| {
        thread::spawn(move || {
            for _ in 0..requests {
                block_on(submit(&scheduler).single()).unwrap();
            }
        })
    };
    (0..clients).map(|_| client(scheduler.clone())).collect()
}

#[test]
fn every_request_is_answered_once() {
    check(|| {
        let (scheduler, counts) = start(2);
        for client in clients(&scheduler, 3, 2) {
            client.join().unwrap();
        }
        assert_eq!(counts.succeeded.load(Ordering::Relaxed), 6);
        assert_eq!(counts.batched.load(Ordering::Relaxed), 6);
    });
}

#[test]
fn what_was_admitted_is_answered_after_the_scheduler_is_gone() {
    check(|| {
        let (scheduler, counts) = start(1);
        let streams: Vec<_> = (0..3).map(|_| submit(&scheduler)).collect();
        drop(scheduler);
        for stream in streams {
            block_on(stream.single()).unwrap();
        }
        assert_eq!(counts.succeeded.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn no_request_is_lost_while_instances_come_and_go() {
    check(|| {
        let (scheduler, counts) = start(1);
        let clients = clients(&scheduler, 2, 2);
        let before = scheduler.instance_ids();
        scheduler.add_instance(instance("m_1")).unwrap();
        before.into_iter().for_each(|instance| scheduler.retire_instance(instance));
        for client in clients {
            client.join().unwrap();
        }
        assert_eq!(counts.succeeded.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn a_client_that_goes_is_executed_or_found_cancelled() {
    check(|| {
        let (scheduler, counts) = start(1);
        let leaving = {
            let scheduler = scheduler.clone();
            thread::spawn(move || drop(submit(&scheduler)))
        };
        block_on(submit(&scheduler).single()).unwrap();
        leaving.join().unwrap();
        // The last request behind it: when this is answered, that is settled.
        block_on(submit(&scheduler).single()).unwrap();
        let (succeeded, failed) = (counts.succeeded.load(Ordering::Relaxed), counts.failed.load(Ordering::Relaxed));
        assert_eq!(succeeded + failed, 3, "{succeeded} succeeded, {failed} failed");
    });
}

#[test]
fn schedulers_that_share_a_resource_take_turns_and_none_is_forgotten() {
    check(|| {
        let (limiter, behaviour) = (scarce(), FakeBehaviour::default());
        let started = ["a", "b"].map(|name| start_with(vec![limited(name, 1, &behaviour)], Some(limiter.clone())));
        let clients: Vec<_> = started.iter().flat_map(|(scheduler, _)| clients(scheduler, 1, 2)).collect();
        for client in clients {
            client.join().unwrap();
        }
        for (_, counts) in &started {
            assert_eq!(counts.succeeded.load(Ordering::Relaxed), 2);
        }
        assert_eq!(behaviour.executing_max.load(Ordering::Relaxed), 1, "the resource was there twice");
    });
}

#[test]
fn a_scheduler_that_goes_with_its_last_request_keeps_nobody_waiting() {
    check(|| {
        let (limiter, behaviour) = (scarce(), FakeBehaviour::default());
        let [(leaving, gone), (staying, counts)] =
            ["a", "b"].map(|name| start_with(vec![limited(name, 1, &behaviour)], Some(limiter.clone())));
        let leaves = thread::spawn(move || {
            // Executed or found cancelled, and then nobody is left.
            drop(submit(&leaving));
        });
        for client in clients(&staying, 1, 2) {
            client.join().unwrap();
        }
        leaves.join().unwrap();
        assert_eq!(counts.succeeded.load(Ordering::Relaxed), 2);
        assert!(gone.succeeded.load(Ordering::Relaxed) + gone.failed.load(Ordering::Relaxed) <= 1);
    });
}

#[test]
fn a_scheduler_that_is_gone_leaves_nothing_behind() {
    check(|| {
        let (limiter, behaviour) = (scarce(), FakeBehaviour::default());
        let [(leaving, _), (staying, counts)] =
            ["a", "b"].map(|name| start_with(vec![limited(name, 1, &behaviour)], Some(limiter.clone())));
        let leaves = thread::spawn(move || drop(submit(&leaving)));
        let clients = clients(&staying, 1, 1);
        for thread in clients.into_iter().chain([leaves]) {
            thread.join().unwrap();
        }
        drop(staying);
        // Threads of instances that are gone end by themselves. A run of steps without an end is a failure.
        while limiter.known() != (0, 0) {
            thread::yield_now();
        }
        assert_eq!(counts.succeeded.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn limited_instances_come_and_go_while_others_wait_for_their_share() {
    check(|| {
        let (limiter, behaviour) = (scarce(), FakeBehaviour::default());
        let [(changing, changing_counts), (other, other_counts)] =
            ["a", "b"].map(|name| start_with(vec![limited(name, 1, &behaviour)], Some(limiter.clone())));
        let mut clients_of_both = clients(&changing, 1, 2);
        clients_of_both.extend(clients(&other, 1, 1));
        let before = changing.instance_ids();
        changing.add_instance(limited("a_1", 1, &behaviour)).unwrap();
        before.into_iter().for_each(|instance| changing.retire_instance(instance));
        for client in clients_of_both {
            client.join().unwrap();
        }
        assert_eq!(changing_counts.succeeded.load(Ordering::Relaxed), 2);
        assert_eq!(other_counts.succeeded.load(Ordering::Relaxed), 1);
        assert_eq!(behaviour.executing_max.load(Ordering::Relaxed), 1);
    });
}
