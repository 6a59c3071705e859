//! The seam between deciding and acting: a policy is told what happened and when, and says what to do.

use std::time::Instant;

use nereid_inference::{Awaited, BatchReason, SequenceId, Verdict};

use crate::{counsel::StrategyCall, queue::Wish};

/// Index of an instance.
pub(crate) type InstanceIndex = usize;

/// A thread, as far as it matters where something happens: what was used there last is in the caches of its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u32);

/// Decides which request runs when and where. Neither spawns, sleeps, locks nor logs.
pub(crate) trait Policy<T>: Send {
    /// Something happened at `now`.
    fn on(&mut self, now: Instant, event: Event<T>) -> Actions<T>;

    /// No more requests come, and nothing waits: instances that are idle are not needed again.
    fn is_drained(&self) -> bool;

    /// Whether more requests may come for a sequence, this one or any.
    fn has_open_sequence(&self, _id: Option<&SequenceId>) -> bool {
        false
    }
}

/// What can happen.
#[derive(Debug)]
pub(crate) enum Event<T> {
    /// A request arrives.
    Arrive { item: T, wish: Wish, place: Place },
    /// An instance has finished its execution. What it hands back waits for another one; only sequences that are
    /// iterative are handed back.
    InstanceIdle { instance: InstanceIndex, returned: Vec<T>, place: Place },
    /// An instance is there that was not; it is idle. One that is limited executes only what was granted.
    InstanceAdded { instance: InstanceIndex, is_limited: bool },
    /// A limited instance that was claimed may execute once; what it does not use it lets go at once.
    Granted(InstanceIndex),
    /// An instance is to leave; what it executes now is finished.
    InstanceRetired(InstanceIndex),
    /// The batching strategy has answered the question of this number.
    Advised { number: u64, verdict: Verdict },
    /// The time that [`Actions::wake_at`] named has come.
    Wake,
    /// No more requests will come.
    Drain,
}

/// What to do now.
#[derive(Debug)]
pub(crate) struct Actions<T> {
    /// Executions to start.
    pub(crate) runs: Vec<Run<T>>,
    /// To be answered with an error each.
    pub(crate) refused: Vec<(T, Refusal)>,
    /// Nobody waits for them any more.
    pub(crate) cancelled: Vec<T>,
    /// Instances that left: nothing refers to them any more.
    pub(crate) gone: Vec<InstanceIndex>,
    /// What limited instances ask of the limiter.
    pub(crate) claims: Vec<Claim>,
    /// What the batching strategy is asked and told.
    pub(crate) calls: Vec<StrategyCall>,
    /// When to ask again even if nothing happens.
    pub(crate) wake_at: Option<Instant>,
    /// The number of requests in the queue, when it has changed; what the pending gauge shows.
    pub(crate) waiting: Option<usize>,
    /// The request that arrived starts a sequence whose id is in use: the earlier one ends here.
    pub(crate) restarted: Option<SequenceId>,
}

/// One execution to start.
#[derive(Debug)]
pub(crate) struct Run<T> {
    pub(crate) instance: InstanceIndex,
    pub(crate) requests: Vec<T>,
    /// No other request of the model waits or runs: the load is so low that a thread of its own would first have to wake.
    pub(crate) is_alone: bool,
    pub(crate) cause: Cause,
}

/// Why an execution starts, and why now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    pub(crate) decided: Instant,
    pub(crate) reason: BatchReason,
    pub(crate) awaited: Awaited,
    /// Requests that still wait, those of other instances included.
    pub(crate) waiting: usize,
}

/// What a limited instance wants of the limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// There is work that it could do now.
    Ask(InstanceIndex),
    /// There is none any more; also gives back a grant.
    LetGo(InstanceIndex),
}

/// Why a request is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many wait as may.
    QueueFull,
    /// Its time in the queue is over.
    Expired,
    /// The time of its sequence is over, which still waited for a slot.
    SequenceExpired,
    /// Its sequence is not known, and it does not start one.
    NotStarted,
}

// === impl Actions ===

impl<T> Actions<T> {
    pub(crate) fn nothing() -> Self {
        Self {
            runs: vec![],
            refused: vec![],
            cancelled: vec![],
            gone: vec![],
            claims: vec![],
            calls: vec![],
            wake_at: None,
            waiting: None,
            restarted: None,
        }
    }

    /// What a later decision adds to this one.
    pub(crate) fn extend(&mut self, later: Self) {
        self.runs.extend(later.runs);
        self.refused.extend(later.refused);
        self.cancelled.extend(later.cancelled);
        self.gone.extend(later.gone);
        self.claims.extend(later.claims);
        self.calls.extend(later.calls);
        self.wake_at = later.wake_at;
        self.waiting = later.waiting.or(self.waiting);
        self.restarted = later.restarted.or_else(|| self.restarted.take());
    }
}
