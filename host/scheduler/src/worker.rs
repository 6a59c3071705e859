//! Acts on the decisions of a [`crate::policy`]: the one file that reads the clock, owns threads and polls futures.
//!
//! A blocking instance has an OS thread; a task instance runs where the request arrives. A request that finds an idle
//! task instance is executed by the caller itself, without a hop; what cannot finish at once goes on as a task. A lone
//! request to a blocking instance whose executions are known to be brief is executed by the caller too; under load the
//! instance's thread is awake already, and takes one request after the other without a hop.
//! A panic in a backend answers that batch with an error and is counted; the instance goes on.

mod affinity;
mod alarm;
mod conclude;
mod decisions;
mod finish;
mod instances;
mod place;
mod rate_limiter;
mod strategy;

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use nereid_backend::{Batch, execute_blocking, execute_task};
use nereid_inference::{CheckedRequest, InferError, ResponseOrder, ResponseSender, SequenceId};
use nereid_sync::{Mutex, mpsc};
use tokio::runtime::Handle;

pub use self::{
    affinity::{cores_of, on_cores},
    instances::{InstanceId, NewInstance},
    rate_limiter::RateLimiter,
};
use self::{
    alarm::{Alarm, keep_time},
    instances::{BlockingSlot, Slot, Slots},
    rate_limiter::Access,
    strategy::Adviser,
};
use crate::{
    FailureReason, Observer, RaggedInputs, SchedulerSettings, SequenceSettings,
    batching::Batchable,
    job::{Job, Origin},
    policy::{Actions, Event, InstanceIndex, Place, Policy, Run},
    queue::Wish,
    sequence::{SequenceIds, SequencePolicy},
    state::State,
};

/// Queue and instances of one model. Dropping it drains it: what was admitted is still answered.
pub struct Scheduler {
    shared: Arc<Shared>,
}

struct Shared {
    policy: Mutex<Box<dyn Policy<Job>>>,
    sequences: Option<SequenceSettings>,
    sequence_ids: SequenceIds,
    ragged_inputs: RaggedInputs,
    slots: Slots,
    observer: Arc<dyn Observer>,
    runtime: Handle,
    alarm: Arc<Alarm>,
    /// The batching strategy; `None` when there is none.
    adviser: Option<Adviser>,
    brief_execution_max: Duration,
    order: Option<Order>,
    /// What asks for limited instances; `None` when none is.
    limited: Option<Access>,
    /// Itself, while it waits for a grant after its scheduler is gone: nothing else may be left that refers to it.
    draining: Mutex<Option<Arc<Shared>>>,
}

/// Where answers wait for those before them.
enum Order {
    /// Of independent requests: as they arrived.
    Arrival(ResponseOrder),
    /// Of sequences: as they started, on each instance. In order of arrival, the answer that a client needs to go on with
    /// its sequence could wait for a sequence that waits for this one's slot.
    Start(Mutex<BTreeMap<InstanceIndex, ResponseOrder>>),
}

// === impl Scheduler ===

impl Scheduler {
    /// Takes over the instances and starts a thread for each blocking one.
    ///
    /// Must be called within a tokio runtime, whose workers execute the task instances.
    ///
    /// # Errors
    /// A thread cannot be started, or the rate limiter cannot meet what an instance asks for.
    pub fn start(
        settings: SchedulerSettings,
        instances: Vec<NewInstance>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, InferError> {
        let keeps_time = settings.queue.keeps_time()
            || settings.sequences.is_some()
            || settings.strategy.is_some()
            || settings.batching.as_ref().is_some_and(|batching| !batching.delay_max.is_zero());
        let brief_execution_max = settings.brief_execution_max;
        let sequences = settings.sequences.clone();
        let adviser = settings.strategy.clone().map(Adviser::new);
        let limited = settings.rate_limiter.clone().map(Access::new);
        let order = settings.preserve_order.then(|| Order::new(sequences.is_some()));
        let ragged_inputs = settings.ragged_inputs.clone();
        let policy: Box<dyn Policy<Job>> = match &sequences {
            Some(sequences) => Box::new(SequencePolicy::new(settings, sequences.clone())),
            None => Box::new(State::new(settings, 0)),
        };
        let (runtime, alarm) = (Handle::current(), Arc::default());
        let slots = Slots::default();
        let policy = Mutex::new(policy);
        let shared = Shared {
            policy,
            sequences,
            sequence_ids: SequenceIds::default(),
            ragged_inputs,
            slots,
            observer,
            runtime,
            alarm,
            adviser,
            brief_execution_max,
            order,
            limited,
            draining: Mutex::default(),
        };
        let scheduler = Self { shared: Arc::new(shared) };
        if let Some(limited) = &scheduler.shared.limited {
            limited.open(&scheduler.shared);
        }
        for instance in instances {
            scheduler.add_instance(instance)?;
        }
        if keeps_time {
            let (shared, alarm) = (Arc::downgrade(&scheduler.shared), scheduler.shared.alarm.clone());
            scheduler.shared.runtime.spawn(keep_time(shared, alarm));
        }
        Ok(scheduler)
    }

    /// Takes a request; its outcome, refusals included, goes to `sender`. Never blocks on an execution by a blocking
    /// instance; a task instance that is idle is polled once right here.
    pub fn submit(&self, request: CheckedRequest, mut sender: ResponseSender) {
        let queued = Instant::now();
        let wish = Wish { timeout: request.get().timeout, priority: request.get().priority };
        if let Some(Order::Arrival(order)) = &self.shared.order {
            order.admit(&mut sender);
        }
        let sequences = self.shared.sequences.as_ref();
        let mut job = Job::new(request, sender, queued, sequences.map(|sequences| sequences.tensors.clone()))
            .ragged(self.shared.ragged_inputs.clone());
        let admit = |sequences: &SequenceSettings| sequences.admit(&mut job.request, &self.shared.sequence_ids);
        if let Some(Err(error)) = sequences.map(admit) {
            return self.shared.conclude(job, error, FailureReason::Other);
        }
        let actions = self.shared.decide(queued, Event::Arrive { item: job, wish, place: Place::here() });
        self.shared.perform(actions);
    }

    /// Whether more requests may come for a sequence that began here, this one or any.
    pub fn has_open_sequence(&self, id: Option<&SequenceId>) -> bool {
        self.shared.policy.lock().has_open_sequence(id)
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let actions = self.shared.decide(Instant::now(), Event::Drain);
        if self.shared.limited.is_some() {
            *self.shared.draining.lock() = Some(self.shared.clone());
        }
        self.shared.perform(actions);
        self.shared.dismiss_if_drained();
    }
}

// === impl Shared ===

impl Shared {
    /// Tells the policy something. Alarm and gauge follow under the same lock: set outside it, a thread that
    /// decided earlier and got here later would put back an alarm that is out of date.
    fn decide(&self, now: Instant, event: Event<Job>) -> Actions<Job> {
        if let Some(limited) = &self.limited {
            return self.decide_limited(limited, now, Some(event));
        }
        let mut policy = self.policy.lock();
        let mut actions = policy.on(now, event);
        self.follow(&mut actions);
        actions
    }

    fn follow(&self, actions: &mut Actions<Job>) {
        self.note_calls(actions);
        self.alarm.set(actions.wake_at);
        if let Some(waiting) = actions.waiting {
            self.observer.waiting_changed(waiting);
        }
    }

    fn perform(self: &Arc<Self>, actions: Actions<Job>) {
        let Actions { runs, refused, cancelled, gone, restarted, .. } = actions;
        if let (Some(id), Some(sequences)) = (restarted, &self.sequences) {
            let model = &sequences.model_name;
            tracing::warn!(
                "sequence {id:?} for model '{model}' has a conflict. The previous sequence did not end before this \
                 sequence start. Previous sequence will be terminated early."
            );
        }
        for run in runs {
            self.start(run);
        }
        for slot in gone.into_iter().filter_map(|instance| self.slots.take(instance)) {
            slot.dismiss();
        }
        for (job, refusal) in refused {
            self.refuse(job, refusal);
        }
        self.ask_strategy();
        for job in cancelled {
            let text = if job.sender.is_cancelled() { "the client is gone" } else { "the sequence was cancelled" };
            self.conclude(job, InferError::cancelled(text), FailureReason::Cancelled);
        }
    }

    fn start(self: &Arc<Self>, run: Run<Job>) {
        let slot = self.slots.get(run.instance);
        self.note(&run, slot.as_deref());
        match slot.as_deref() {
            Some(Slot::Blocking(slot)) if run.is_alone && self.is_brief(slot, &run.requests) => {
                let returned = self.execute_blocking(run.instance, slot, run.requests);
                if let Some(next) = self.instance_idle(run.instance, returned) {
                    slot.hand_over(next.requests);
                }
            }
            Some(Slot::Blocking(slot)) => slot.hand_over(run.requests),
            Some(Slot::Task(_)) => {
                run_here_or_spawn(&self.runtime, self.clone().run_task(run.instance, run.requests));
            }
            None => {}
        }
    }

    /// Executes one batch on a task instance, then hands the next one to the runtime, so that a caller who polled this
    /// is not kept busy with other people's requests.
    fn run_task(self: Arc<Self>, index: InstanceIndex, requests: Vec<Job>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let slot = self.slots.get(index);
            let Some(Slot::Task(slot)) = slot.as_deref() else { return };
            let Some(mut instance) = slot.instance.lock().take() else { return };
            let (mut batch, origins) = self.begin(index, requests);
            if let Err(panic) = AssertUnwindSafe(execute_task(&mut *instance, &mut batch)).catch_unwind().await {
                fail_after_panic(&mut batch, panic.as_ref());
            }
            *slot.instance.lock() = Some(instance);
            let returned = self.finish(batch, origins, slot.gpu);
            if let Some(run) = self.instance_idle(index, returned) {
                self.runtime.spawn(self.clone().run_task(index, run.requests));
            }
        })
    }

    /// A batch that starts now, on an instance of its own.
    fn begin(&self, index: InstanceIndex, mut requests: Vec<Job>) -> (Batch, Vec<Origin>) {
        if let Some(Order::Start(orders)) = &self.order {
            let order = orders.lock().entry(index).or_default().clone();
            requests.iter_mut().filter(|job| job.origin.steps == 0).for_each(|job| order.admit(&mut job.sender));
        }
        Job::into_batch(requests)
    }

    fn run_thread(self: Arc<Self>, index: InstanceIndex, work: &mpsc::Receiver<Vec<Job>>) {
        let slot = self.slots.get(index);
        let Some(Slot::Blocking(slot)) = slot.as_deref() else { return };
        while let Ok(requests) = work.recv() {
            let mut next = Some(requests);
            while let Some(requests) = next {
                let returned = self.execute_blocking(index, slot, requests);
                next = self.instance_idle(index, returned).map(|run| run.requests);
            }
        }
    }

    /// Executes one batch on the calling thread; returns what is to be executed again.
    fn execute_blocking(&self, index: InstanceIndex, slot: &BlockingSlot, requests: Vec<Job>) -> Vec<Job> {
        let (mut batch, origins) = self.begin(index, requests);
        let executed = catch_unwind(AssertUnwindSafe(|| execute_blocking(&mut **slot.instance.lock(), &mut batch)));
        if let Err(panic) = executed {
            fail_after_panic(&mut batch, panic.as_ref());
        }
        slot.brevity.lock().record(batch.rows(), batch.timeline().started.elapsed());
        self.finish(batch, origins, slot.gpu)
    }

    /// Whether the caller may execute these requests: one that is expected to take no longer than a hop would, of an
    /// instance that does not need its own thread.
    fn is_brief(&self, slot: &BlockingSlot, requests: &[Job]) -> bool {
        match requests {
            [job] if !slot.keeps_thread => slot.brevity.lock().expects(job.rows(), self.brief_execution_max),
            _ => false,
        }
    }

    /// Reports an idle instance and what it hands back; returns its own next execution and performs everything else.
    fn instance_idle(self: &Arc<Self>, index: InstanceIndex, returned: Vec<Job>) -> Option<Run<Job>> {
        let mut actions =
            self.decide(Instant::now(), Event::InstanceIdle { instance: index, returned, place: Place::here() });
        let own = actions.runs.iter().position(|run| run.instance == index);
        let own = own.map(|position| actions.runs.swap_remove(position));
        self.perform(actions);
        match &own {
            Some(run) => self.note(run, self.slots.get(index).as_deref()),
            None => self.dismiss_if_drained(),
        }
        own
    }

    /// Lets the threads go once no request can come any more.
    fn dismiss_if_drained(&self) {
        if !self.policy.lock().is_drained() {
            return;
        }
        self.slots.all().for_each(|slot| slot.dismiss());
        let itself = self.draining.lock().take();
        drop(itself);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.alarm.disturb();
    }
}

// === impl Order ===

impl Order {
    fn new(is_of_sequences: bool) -> Self {
        match is_of_sequences {
            true => Self::Start(Mutex::default()),
            false => Self::Arrival(ResponseOrder::default()),
        }
    }
}

/// Polls the future once, here, and lets the runtime go on with it if that was not enough: work that can be finished at
/// once costs no hop to another thread.
///
/// Must be called within a runtime. The first poll's waker does nothing; that is sound because a spawned task is always
/// polled at least once more, with its own.
pub fn run_here_or_spawn(runtime: &Handle, mut future: Pin<Box<dyn Future<Output = ()> + Send>>) {
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        runtime.spawn(future);
    }
}

fn fail_after_panic(batch: &mut Batch, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message");
    tracing::error!("a backend panicked during an execution: {text}");
    batch.fail_all(&InferError::internal(format!("the backend panicked: {text}")));
}

#[cfg(test)]
mod tests;
