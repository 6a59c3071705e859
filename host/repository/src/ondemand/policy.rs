//! Which models are loaded when, and which make room: decided from events and the time, done by `desk.rs`.
//!
//! ```text
//!                first request        room           loaded
//!   Unloaded ──────────────────> Queued ───> Loading ──────> Loaded
//!      ^  ^                       ^ no memory    │              │ least recently used, idle,
//!      │  │                       └──────────────┤              │
//!      │  └─── time to try again ── Failed <────┘ failed       │ and somebody needs the room
//!      │                                                       v
//!      └──────────────────────── gone ───────────────────── Unloading
//! ```
//!
//! Promises: a model is in one load at a time; no more than `models_max` are loaded, being loaded or being unloaded; one
//! that has a request under way, that was asked for by name, or that a loaded ensemble is made of makes room for nobody;
//! every waiter is handed back once. Models are served in the order in which they were first wanted, so that none waits for
//! ever behind smaller ones. Costs a look at every model when room is to be made, and nothing else grows with their number.

mod actions;
mod memory;
mod questions;
mod reloads;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use nereid_inference::InferError;

use self::reloads::Reload;

/// A model by its place in the catalogue.
pub(crate) type Slot = usize;

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicySettings {
    /// Loaded, being loaded, being unloaded.
    pub(crate) models_max: usize,
    /// Requests that wait, for whatever model.
    pub(crate) waiters_max: usize,
    pub(crate) wait_max: Duration,
    /// After a failed load, how long the next one is not begun.
    pub(crate) retry_after: Duration,
    /// Loads under way.
    pub(crate) loads_max: usize,
}

/// The state of every model. `W` is whatever waits.
#[derive(Debug)]
pub(crate) struct Policy<W> {
    settings: PolicySettings,
    models: Vec<Model<W>>,
    /// Wanted and not begun, oldest first.
    queue: VecDeque<Slot>,
    /// Of models that are loaded; they wait for room, oldest first.
    reloads: VecDeque<Reload<W>>,
    waiters: usize,
    /// Counts uses: the order in which models were used.
    clock: u64,
    /// When the last model that failed may be tried again.
    failures_until: Option<Instant>,
}

#[derive(Debug)]
struct Model<W> {
    state: State,
    /// Every model that it calls, and that those call.
    members: Vec<Slot>,
    waiters: VecDeque<Waiting<W>>,
    in_flight: usize,
    used: u64,
    /// Asked for by name: it stays until it is unloaded by name.
    pinned: bool,
    /// Its load found no memory, and whoever could make room was in use: the load's own words. Until somebody is gone.
    lacks_memory: Option<InferError>,
}

#[derive(Clone, Debug)]
enum State {
    Unloaded,
    Failed {
        reason: InferError,
        until: Instant,
    },
    /// In the queue.
    Queued,
    /// Being loaded, itself or as a member of that model.
    Loading {
        by: Slot,
    },
    Loaded,
    Unloading,
}

#[derive(Debug)]
struct Waiting<W> {
    waiter: W,
    until: Instant,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Answer<W> {
    /// It waits; see [`Policy::next`].
    Waits,
    /// The model is loaded after all; the request is under way as after [`Policy::enter`].
    Served(W),
    Refused(W, Refusal),
}

/// Why nobody waits.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    TooManyWait,
    /// The last load failed a short time ago.
    Failed {
        reason: InferError,
        left: Duration,
    },
    /// Its time is over.
    TooLong(Lack),
    /// Its time is over: the model is loaded, and there was no room for another generation, in the words of the load.
    ReloadTooLong(InferError),
    /// It is made of more models than may be loaded.
    TooLarge {
        models: usize,
    },
}

/// What a model waited for.
#[derive(Clone, Debug)]
pub(crate) enum Lack {
    /// Its own load.
    Nothing,
    /// Nothing could be unloaded to make room.
    Models,
    /// The same, of memory, in the words of the load.
    Memory(InferError),
}

/// What is to be done now.
#[derive(Debug)]
pub(crate) enum Action<W> {
    /// Load the model with its members, and say [`Policy::finished`].
    Load(Slot),
    /// Unload the model, and say [`Policy::gone`].
    Unload(Slot),
    /// Its reload is to be tried again.
    Retry(W),
    Refuse(Slot, Vec<W>, Refusal),
}

/// Who is to be answered when a load is over.
#[derive(Debug)]
pub(crate) struct Finished<W> {
    /// The model is loaded and counts each of them as under way.
    pub(crate) served: Vec<(Slot, W)>,
    pub(crate) failed: Vec<(Slot, W, InferError)>,
}

// === impl Policy: the catalogue ===

impl<W> Policy<W> {
    pub(crate) fn new(settings: PolicySettings) -> Self {
        Self {
            settings,
            models: Vec::new(),
            queue: VecDeque::new(),
            reloads: VecDeque::new(),
            waiters: 0,
            clock: 0,
            failures_until: None,
        }
    }

    pub(crate) fn settings(&self) -> PolicySettings {
        self.settings
    }

    /// One more model, unloaded.
    pub(crate) fn add(&mut self) -> Slot {
        self.models.push(Model::new());
        self.models.len() - 1
    }

    /// Names the models below an ensemble.
    pub(crate) fn set_members(&mut self, slot: Slot, members: Vec<Slot>) {
        if let Some(model) = self.models.get_mut(slot) {
            model.members = members;
        }
    }

    /// Somebody else loaded and unloaded: takes over what is so now, of models that are in no transition.
    pub(crate) fn reconcile(&mut self, is_loaded: impl Fn(Slot) -> bool) {
        let mut freed = false;
        for (slot, model) in self.models.iter_mut().enumerate() {
            match (&model.state, is_loaded(slot)) {
                (State::Unloaded | State::Failed { .. }, true) => model.state = State::Loaded,
                (State::Loaded, false) => {
                    model.state = State::Unloaded;
                    freed = true;
                }
                _ => {}
            }
        }
        if freed {
            self.try_memory_again();
        }
    }

    /// The model stays loaded, or makes room again; returns what it did before.
    pub(crate) fn pin(&mut self, slot: Slot, pinned: bool) -> bool {
        self.models.get_mut(slot).is_some_and(|model| std::mem::replace(&mut model.pinned, pinned))
    }

    /// A load that failed may be tried at once.
    pub(crate) fn forgive(&mut self, slot: Slot) {
        if let Some(model) = self.models.get_mut(slot)
            && matches!(model.state, State::Failed { .. })
        {
            model.state = State::Unloaded;
        }
    }
}

// === impl Policy: requests ===

impl<W> Policy<W> {
    /// A request for a model that is loaded is under way from now on, until [`Policy::done`]; `false` when it is not
    /// loaded.
    pub(crate) fn enter(&mut self, slot: Slot) -> bool {
        self.clock += 1;
        let Some(model) = self.models.get_mut(slot) else { return false };
        model.used = self.clock;
        let is_loaded = matches!(model.state, State::Loaded);
        model.in_flight += usize::from(is_loaded);
        is_loaded
    }

    /// A request is over.
    pub(crate) fn done(&mut self, slot: Slot) {
        if let Some(model) = self.models.get_mut(slot) {
            model.in_flight = model.in_flight.saturating_sub(1);
        }
    }

    /// Somebody waits for a model that was not loaded.
    pub(crate) fn wait(&mut self, now: Instant, slot: Slot, waiter: W) -> Answer<W> {
        if self.enter(slot) {
            return Answer::Served(waiter);
        }
        if let Some(refusal) = self.refusal(now, slot) {
            return Answer::Refused(waiter, refusal);
        }
        if self.waiters >= self.settings.waiters_max {
            return Answer::Refused(waiter, Refusal::TooManyWait);
        }
        let until = now + self.settings.wait_max;
        let Some(model) = self.models.get_mut(slot) else { return Answer::Refused(waiter, Refusal::TooManyWait) };
        model.waiters.push_back(Waiting { waiter, until });
        self.waiters += 1;
        if matches!(model.state, State::Unloaded | State::Failed { .. }) {
            model.state = State::Queued;
            self.queue.push_back(slot);
        }
        Answer::Waits
    }

    /// Waiters that nobody listens to any more make room for others; they are handed back.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&W) -> bool) -> Vec<W> {
        let mut gone = Vec::new();
        for model in &mut self.models {
            gone.extend(model.take_waiters(|waiting| is_gone(&waiting.waiter)));
        }
        self.waiters -= gone.len();
        gone
    }
}

// === impl Policy: what was done ===

impl<W> Policy<W> {
    /// A load is over; `outcome` says of each model that it was about what became of it.
    pub(crate) fn finished(
        &mut self,
        now: Instant,
        leader: Slot,
        outcome: impl Fn(Slot) -> Result<(), InferError>,
    ) -> Finished<W> {
        let until = now + self.settings.retry_after;
        let mut finished = Finished { served: Vec::new(), failed: Vec::new() };
        for (slot, model) in self.models.iter_mut().enumerate() {
            if !matches!(model.state, State::Loading { by } if by == leader) {
                continue;
            }
            let waiters = model.take_waiters(|_| true);
            self.waiters -= waiters.len();
            match outcome(slot) {
                Ok(()) => {
                    model.state = State::Loaded;
                    model.in_flight += waiters.len();
                    finished.served.extend(waiters.into_iter().map(|waiter| (slot, waiter)));
                }
                Err(reason) => {
                    let failed = waiters.into_iter().map(|waiter| (slot, waiter, reason.clone()));
                    finished.failed.extend(failed);
                    model.state = State::Failed { reason, until };
                    self.failures_until = Some(until);
                }
            }
        }
        // A member that was wanted by itself is not wanted any more.
        let models = &self.models;
        self.queue.retain(|slot| models.get(*slot).is_some_and(|model| matches!(model.state, State::Queued)));
        finished
    }

    /// A model is unloaded.
    pub(crate) fn gone(&mut self, slot: Slot) {
        self.try_memory_again();
        let Some(model) = self.models.get_mut(slot) else { return };
        if !matches!(model.state, State::Unloading) {
            return;
        }
        if model.waiters.is_empty() {
            model.state = State::Unloaded;
        } else {
            // Wanted again meanwhile.
            model.state = State::Queued;
            self.queue.push_back(slot);
        }
    }

    /// The model is to be unloaded by name; `false` when it is not loaded.
    pub(crate) fn begin_unload(&mut self, slot: Slot) -> bool {
        match self.models.get_mut(slot) {
            Some(model) if matches!(model.state, State::Loaded) => {
                model.state = State::Unloading;
                true
            }
            _ => false,
        }
    }
}

// === impl Model ===

impl<W> Model<W> {
    fn new() -> Self {
        Self {
            state: State::Unloaded,
            members: Vec::new(),
            waiters: VecDeque::new(),
            in_flight: 0,
            used: 0,
            pinned: false,
            lacks_memory: None,
        }
    }

    fn take_waiters(&mut self, take: impl Fn(&Waiting<W>) -> bool) -> Vec<W> {
        let (taken, left) = std::mem::take(&mut self.waiters).into_iter().partition(|waiting| take(waiting));
        self.waiters = left;
        let taken: VecDeque<Waiting<W>> = taken;
        taken.into_iter().map(|waiting| waiting.waiter).collect()
    }
}
