//! The instances of a running scheduler, each with the place where its work waits. They come and go while it serves.
//!
//! Finding an instance takes no lock. One that is retired finishes what it executes; its thread ends and it is dropped
//! when the state machine says that nothing refers to it any more.

use std::{sync::Arc, time::Instant};

use nereid_backend::{BlockingInstance, Instance, TaskInstance};
use nereid_inference::InferError;
use nereid_sync::{ArcSwap, Mutex, mpsc, thread};

use super::{Scheduler, affinity::pin_current_thread};
use crate::{
    CoreSet, Demand,
    brevity::Brevity,
    job::Job,
    policy::{Event, InstanceIndex},
};

/// Longest thread name that Linux keeps.
const THREAD_NAME_BYTES_MAX: usize = 15;

/// One instance of a scheduler, for as long as it is not retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceId(InstanceIndex);

/// An instance for a scheduler.
pub struct NewInstance {
    pub name: String,
    pub instance: Instance,
    /// Ordinal of the GPU that it is on; its executions are counted there.
    pub gpu: Option<i32>,
    /// What each execution takes from the settings' rate limiter.
    pub demand: Demand,
    /// The cores that the thread of a blocking instance runs on; a task instance runs on the runtime's workers.
    pub cores: Option<CoreSet>,
}

/// Where an instance waits for work.
pub(super) enum Slot {
    Blocking(BlockingSlot),
    Task(TaskSlot),
}

/// A task instance; `None` while it executes.
pub(super) struct TaskSlot {
    name: Arc<str>,
    pub(super) gpu: Option<i32>,
    pub(super) instance: Mutex<Option<Box<dyn TaskInstance>>>,
}

/// A blocking instance; the state machine gives it to one execution at a time, so that its lock is never waited for.
pub(super) struct BlockingSlot {
    name: Arc<str>,
    pub(super) gpu: Option<i32>,
    pub(super) instance: Mutex<Box<dyn BlockingInstance>>,
    pub(super) brevity: Mutex<Brevity>,
    /// Nobody but its thread does its work: that runs on cores of its own, or what it does may wait for others.
    pub(super) keeps_thread: bool,
    /// The way to its thread; `None` ends the thread.
    work: Mutex<Option<mpsc::Sender<Vec<Job>>>>,
}

/// Every instance by its index; changed rarely, read by every execution.
#[derive(Default)]
pub(super) struct Slots(ArcSwap<Vec<Option<Arc<Slot>>>>);

// === impl Scheduler ===

impl Scheduler {
    /// Gives a running model one more instance, with a thread of its own when it blocks. Requests that wait may start
    /// on it at once.
    ///
    /// # Errors
    /// The thread cannot be started, or the rate limiter cannot meet what the instance asks for.
    pub fn add_instance(&self, new: NewInstance) -> Result<InstanceId, InferError> {
        let shared = &self.shared;
        let NewInstance { name, instance, gpu, demand, cores } = new;
        let (slot, receiver) = match instance {
            Instance::Task(instance) => (Slot::Task(TaskSlot::new(&name, gpu, instance)), None),
            Instance::Blocking(instance) => {
                let (sender, receiver) = mpsc::channel();
                let keeps_thread = cores.is_some() || instance.may_wait();
                let slot = BlockingSlot::new(&name, gpu, instance, sender);
                (Slot::Blocking(BlockingSlot { keeps_thread, ..slot }), Some(receiver))
            }
        };
        let index = shared.slots.add(slot);
        let limited = shared.limited.as_ref().filter(|_| demand.is_limited());
        let joined = limited.map_or(Ok(()), |limited| limited.join(index, &demand));
        let started = joined.and_then(|()| self.start_thread(&name, index, cores, receiver));
        if let Err(error) = started {
            shared.slots.take(index);
            if let Some(limited) = limited {
                limited.leave(index);
            }
            return Err(error);
        }
        let event = Event::InstanceAdded { instance: index, is_limited: limited.is_some() };
        let actions = shared.decide(Instant::now(), event);
        shared.perform(actions);
        Ok(InstanceId(index))
    }

    /// The thread of a blocking instance, which gets its work through the receiver; on its cores when this returns.
    fn start_thread(
        &self,
        name: &str,
        index: InstanceIndex,
        cores: Option<CoreSet>,
        work: Option<mpsc::Receiver<Vec<Job>>>,
    ) -> Result<(), InferError> {
        let Some(work) = work else { return Ok(()) };
        let scheduler = self.shared.clone();
        let (tell, pinned) = mpsc::channel();
        let run = move || {
            let outcome = cores.as_ref().map_or(Ok(()), pin_current_thread);
            let is_pinned = outcome.is_ok();
            let _ = tell.send(outcome);
            if is_pinned {
                scheduler.run_thread(index, &work);
            }
        };
        let failed = || format!("cannot start a thread for instance '{name}'");
        thread::Builder::new()
            .name(thread_name(name))
            .spawn(run)
            .map_err(|error| InferError::internal(failed()).with_source(error))?;
        pinned.recv().unwrap_or_else(|_| Err(InferError::internal(failed())))
    }

    /// The instances there are, those that [`Scheduler::start`] was given in the same order.
    pub fn instance_ids(&self) -> Vec<InstanceId> {
        let slots = self.shared.slots.0.load();
        slots.iter().enumerate().filter(|(_, slot)| slot.is_some()).map(|(index, _)| InstanceId(index)).collect()
    }

    /// Lets an instance go: it gets no more work, finishes what it executes, and is dropped.
    pub fn retire_instance(&self, instance: InstanceId) {
        let actions = self.shared.decide(Instant::now(), Event::InstanceRetired(instance.0));
        self.shared.perform(actions);
    }
}

// === impl Slots ===

impl Slots {
    pub(super) fn get(&self, index: InstanceIndex) -> Option<Arc<Slot>> {
        self.0.load().get(index)?.clone()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Slot>> {
        Vec::clone(&self.0.load()).into_iter().flatten()
    }

    /// Puts an instance at the first free index.
    fn add(&self, slot: Slot) -> InstanceIndex {
        let slot = Arc::new(slot);
        let free = |slots: &[Option<Arc<Slot>>]| slots.iter().position(Option::is_none).unwrap_or(slots.len());
        let before = self.0.rcu(|slots| {
            let (index, mut slots) = (free(slots), Vec::clone(slots));
            slots.resize(slots.len().max(index + 1), None);
            slots.splice(index..=index, [Some(slot.clone())]);
            slots
        });
        free(&before)
    }

    /// Takes an instance out; its index is free then.
    pub(super) fn take(&self, index: InstanceIndex) -> Option<Arc<Slot>> {
        let before = self.0.rcu(|slots| {
            let mut slots = Vec::clone(slots);
            if let Some(slot) = slots.get_mut(index) {
                *slot = None;
            }
            slots
        });
        before.get(index).cloned().flatten()
    }
}

// === impl Slot ===

impl Slot {
    /// The instance's name.
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Self::Blocking(slot) => &slot.name,
            Self::Task(slot) => &slot.name,
        }
    }

    /// Lets its thread go, when it has one.
    pub(super) fn dismiss(&self) {
        if let Self::Blocking(slot) = self {
            slot.work.lock().take();
        }
    }
}

// === impl TaskSlot ===

impl TaskSlot {
    fn new(name: &str, gpu: Option<i32>, instance: Box<dyn TaskInstance>) -> Self {
        Self { name: name.into(), gpu, instance: Mutex::new(Some(instance)) }
    }
}

// === impl BlockingSlot ===

impl BlockingSlot {
    fn new(name: &str, gpu: Option<i32>, instance: Box<dyn BlockingInstance>, work: mpsc::Sender<Vec<Job>>) -> Self {
        let (instance, work) = (Mutex::new(instance), Mutex::new(Some(work)));
        Self { name: name.into(), gpu, instance, brevity: Mutex::default(), keeps_thread: false, work }
    }

    /// Gives the requests to the instance's thread. A send fails only when the thread is gone; the dropped jobs then
    /// answer their clients with an error.
    pub(super) fn hand_over(&self, requests: Vec<Job>) {
        let _ = self.work.lock().as_ref().map(|work| work.send(requests));
    }
}

/// The end of an instance's name tells it apart.
fn thread_name(instance: &str) -> String {
    let start = instance.len().saturating_sub(THREAD_NAME_BYTES_MAX);
    let start = (start..=instance.len()).find(|start| instance.is_char_boundary(*start)).unwrap_or_default();
    instance.get(start..).unwrap_or_default().to_owned()
}
