//! Schedulers that share a limiter: what one of them held or asked for is free when it is gone, however it went.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::{RateLimiter, Resource, Scope};

/// Longer than any machine takes; only a broken test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Executes a batch on its thread when the test says so.
struct Held {
    begun: Sender<()>,
    open: Receiver<()>,
}

impl BlockingInstance for Held {
    fn execute(&mut self, batch: &mut Batch) {
        let _ = self.begun.send(());
        let _ = self.open.recv();
        batch.respond(0, Ok(Default::default()));
    }

    fn may_wait(&self) -> bool {
        true
    }
}

/// Ends the thread that tells it of a batch, as a fault in what counts batches would.
struct Faulty;

impl Observer for Faulty {
    fn waiting_changed(&self, _: usize) {}

    fn batch_decided(&self, _: BatchDecision) {}

    fn batch_executed(&self, _: &ExecutionRecord) {
        panic!("the counter is broken");
    }

    fn request_finished(&self, _: &RequestRecord) {}
}

/// So much of the resource `R`.
fn demand(count: u64, scope: Scope) -> Demand {
    let resource = Resource { name: "R".into(), scope };
    Demand { resources: [(resource, count)].into(), priority: 1 }
}

fn held(demand: Demand) -> (NewInstance, Receiver<()>, Sender<()>) {
    let (begun, begins) = channel();
    let (opener, open) = channel();
    let instance = Instance::Blocking(Box::new(Held { begun, open }));
    (NewInstance { demand, ..named("held", instance) }, begins, opener)
}

fn start_limited(
    limiter: &Arc<RateLimiter>,
    instance: NewInstance,
    observer: Arc<dyn Observer>,
) -> Result<Scheduler, InferError> {
    let settings = SchedulerSettings { rate_limiter: Some(limiter.clone()), ..SchedulerSettings::unbatched() };
    Scheduler::start(settings, vec![instance], observer)
}

fn limited(demand: Demand) -> NewInstance {
    NewInstance { demand, ..named("limited", fake(FakeBehaviour { blocking: true, ..Default::default() })) }
}

/// Whoever is not woken would wait for ever.
async fn answered(stream: ResponseStream) {
    tokio::time::timeout(PATIENCE, stream.single()).await.expect("it was woken").unwrap();
}

/// Waits until the limiter knows only so many schedulers and instances.
fn until_left(limiter: &RateLimiter, schedulers: usize, instances: usize) {
    let end = Instant::now() + PATIENCE;
    while limiter.known() != (schedulers, instances) {
        assert!(Instant::now() < end, "there are {:?}", limiter.known());
        thread::yield_now();
    }
}

#[tokio::test]
async fn a_model_may_ask_for_what_one_that_is_gone_contradicted() {
    let limiter = RateLimiter::new(vec![]);
    let start = |scope| start_limited(&limiter, limited(demand(2, scope)), Arc::<Notes>::default());
    let global = start(Scope::Global).unwrap();
    submit(&global, 1.0).single().await.unwrap();
    let refused = start(Scope::Device(0)).err().unwrap();
    assert!(refused.message().contains("both global and device-specific"), "{refused}");
    until_left(&limiter, 1, 1);
    drop(global);
    until_left(&limiter, 0, 0);
    let on_device = start(Scope::Device(0)).unwrap();
    submit(&on_device, 2.0).single().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_never_ends_is_over_with_its_scheduler() {
    let limiter = RateLimiter::new(vec![]);
    let (instance, begins, opener) = held(demand(1, Scope::Global));
    let leaving = start_limited(&limiter, instance, Arc::new(Faulty)).unwrap();
    let staying = start_limited(&limiter, limited(demand(1, Scope::Global)), Arc::<Notes>::default()).unwrap();
    let lost = submit(&leaving, 1.0);
    begins.recv().unwrap();
    let waits = submit(&staying, 2.0);
    opener.send(()).unwrap();
    // Its thread has ended with a panic, and its share is still taken.
    assert!(lost.single().await.is_err());
    drop(leaving);
    answered(waits).await;
    until_left(&limiter, 1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_grows_serves_those_who_wait_at_once() {
    let limiter = RateLimiter::new(vec![]);
    let (instance, begins, opener) = held(demand(1, Scope::Global));
    let busy = start_limited(&limiter, instance, Arc::<Notes>::default()).unwrap();
    let waiting = start_limited(&limiter, limited(demand(1, Scope::Global)), Arc::<Notes>::default()).unwrap();
    let under_way = submit(&busy, 1.0);
    begins.recv().unwrap();
    let waits = submit(&waiting, 2.0);
    // One that takes two: without a word of the operator there are two from now on.
    let third = start_limited(&limiter, limited(demand(2, Scope::Global)), Arc::<Notes>::default()).unwrap();
    answered(waits).await;
    drop(third);
    opener.send(()).unwrap();
    under_way.single().await.unwrap();
}
