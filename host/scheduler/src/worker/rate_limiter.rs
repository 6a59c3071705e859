//! The limiter that the schedulers of a server share, and how each of them hears of its grants.
//!
//! Locks: a scheduler's policy first, then its gate, then the limiter, which is held for one exchange. A scheduler is
//! never told of a grant by the thread that freed it, which may hold a lock of its own: it is woken, and looks by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Weak},
    time::Instant,
};

use nereid_inference::InferError;
use nereid_sync::Mutex;

use super::Shared;
use crate::{
    Demand,
    job::Job,
    limiter::{Change, Gate, Limiter, MemberId, OwnerId, Supply},
    policy::{Actions, Event, InstanceIndex, Policy},
};

/// Decides over all schedulers that have it which limited instance executes next.
pub struct RateLimiter {
    limiter: Mutex<Limiter>,
    schedulers: Mutex<BTreeMap<OwnerId, Weak<Shared>>>,
}

/// One scheduler's way to the limiter.
pub(super) struct Access {
    limiter: Arc<RateLimiter>,
    gate: Mutex<Gate>,
}

// === impl RateLimiter ===

impl RateLimiter {
    /// A limiter over what there is; without any supplies each resource is as large as the largest demand on it.
    pub fn new(supplies: Vec<Supply>) -> Arc<Self> {
        Arc::new(Self { limiter: Mutex::new(Limiter::new(supplies)), schedulers: Mutex::default() })
    }

    /// How many schedulers are woken for grants, and how many instances have a share.
    #[cfg(test)]
    pub(crate) fn known(&self) -> (usize, usize) {
        (self.schedulers.lock().len(), self.limiter.lock().member_count())
    }

    fn wake(&self, owners: &BTreeSet<OwnerId>) {
        if owners.is_empty() {
            return;
        }
        let woken: Vec<Arc<Shared>> = {
            let schedulers = self.schedulers.lock();
            owners.iter().filter_map(|owner| schedulers.get(owner)?.upgrade()).collect()
        };
        woken.into_iter().for_each(look_soon);
    }
}

/// On another thread: the one that calls may hold locks.
#[cfg(not(feature = "shuttle"))]
fn look_soon(shared: Arc<Shared>) {
    let runtime = shared.runtime.clone();
    runtime.spawn(async move { shared.look_at_grants() });
}

/// On a thread that the checker steps.
#[cfg(feature = "shuttle")]
fn look_soon(shared: Arc<Shared>) {
    drop(nereid_sync::thread::spawn(move || shared.look_at_grants()));
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimiter({:?})", self.limiter.lock())
    }
}

// === impl Shared ===

impl Shared {
    /// As [`Shared::decide`], together with the limiter. Without an event it only looks what was granted.
    pub(super) fn decide_limited(&self, limited: &Access, now: Instant, event: Option<Event<Job>>) -> Actions<Job> {
        let mut policy = self.policy.lock();
        let (mut actions, woken) = limited.decide(&mut **policy, now, event);
        if let Some(actions) = &mut actions {
            self.follow(actions);
        }
        drop(policy);
        limited.wake(&woken);
        actions.unwrap_or_else(Actions::nothing)
    }

    /// Instances of this scheduler were granted an execution.
    fn look_at_grants(self: &Arc<Self>) {
        let Some(limited) = &self.limited else { return };
        let actions = self.decide_limited(limited, Instant::now(), None);
        self.perform(actions);
        self.dismiss_if_drained();
    }
}

// === impl Access ===

impl Access {
    pub(super) fn new(limiter: Arc<RateLimiter>) -> Self {
        let owner = limiter.limiter.lock().enter();
        Self { limiter, gate: Mutex::new(Gate::new(owner)) }
    }

    /// From now on the scheduler is woken.
    pub(super) fn open(&self, shared: &Arc<Shared>) {
        self.limiter.schedulers.lock().insert(self.gate.lock().owner, Arc::downgrade(shared));
    }

    /// Makes an instance a limited one, before its policy hears of it.
    ///
    /// # Errors
    /// Its demand cannot be met, or contradicts another.
    pub(super) fn join(&self, instance: InstanceIndex, demand: &Demand) -> Result<(), InferError> {
        let mut gate = self.gate.lock();
        let member = self.limiter.limiter.lock().join(gate.owner, instance, demand.clone())?;
        gate.add(instance, member);
        drop(gate);
        self.settle(vec![]);
        Ok(())
    }

    /// Undoes [`Access::join`] for an instance that could not be started.
    pub(super) fn leave(&self, instance: InstanceIndex) {
        let member = self.gate.lock().remove(instance);
        self.settle(member.map(|member| (member, Change::Leave)).into_iter().collect());
    }

    /// Lets policy and limiter agree on what follows from an event. Must be called under the policy's lock; says whom to
    /// wake once that is let go.
    fn decide(
        &self,
        policy: &mut dyn Policy<Job>,
        now: Instant,
        event: Option<Event<Job>>,
    ) -> (Option<Actions<Job>>, BTreeSet<OwnerId>) {
        let mut gate = self.gate.lock();
        let owner = gate.owner;
        gate.on(policy, now, event, |changes| self.limiter.limiter.lock().exchange(owner, changes))
    }

    fn wake(&self, owners: &BTreeSet<OwnerId>) {
        self.limiter.wake(owners);
    }

    /// Makes the changes; whoever gets something from them is woken, this scheduler included.
    fn settle(&self, changes: Vec<(MemberId, Change)>) {
        let woken = self.limiter.limiter.lock().settle(changes);
        self.limiter.wake(&woken);
    }
}

impl Drop for Access {
    /// Whatever the scheduler's instances held is free.
    fn drop(&mut self) {
        let (owner, changes) = {
            let mut gate = self.gate.lock();
            (gate.owner, gate.take_all())
        };
        self.limiter.schedulers.lock().remove(&owner);
        self.settle(changes);
    }
}
