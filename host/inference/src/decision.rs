//! What a scheduler notes of every batch: why it went when it did, and what it had waited for.
//!
//! Plain values, made by policies that know no clock and no text; words are looked up when somebody reads them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What one model has decided of late.
#[derive(Clone, Debug, Default)]
pub struct DecisionLog {
    /// Batches since the model was loaded.
    pub total: u64,
    /// The last of them, oldest first.
    pub recent: Vec<BatchDecision>,
}

/// One batch that a scheduler sent to an instance.
#[derive(Clone, Debug)]
pub struct BatchDecision {
    pub decided: Instant,
    /// The instance's name.
    pub instance: Arc<str>,
    /// Requests of clients; rows that only fill a batch up have none.
    pub requests: usize,
    pub rows: u64,
    /// How long the request that waited longest had waited.
    pub oldest_wait: Duration,
    pub reason: BatchReason,
    pub awaited: Awaited,
    /// Requests of the model that still wait.
    pub waiting: usize,
}

/// Why a batch was complete: what made the scheduler send it, and not wait for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchReason {
    /// The model takes one request per execution.
    Unbatched,
    /// It has as many rows as a batch may have.
    Full,
    /// Its size is one of the preferred ones.
    Preferred,
    /// It is larger than every preferred size.
    AbovePreferred,
    /// The next request has more rows than there is room for.
    NoRoom,
    /// The next request has tensors of another shape.
    OtherShape,
    /// The next request leaves out other optional inputs.
    OtherInputs,
    /// The batching strategy lets the next request wait.
    Strategy,
    /// The model does not delay requests.
    NoDelay,
    /// Its oldest request has been delayed for as long as the model allows.
    DelayOver,
    /// As large a part of the slots of its sequences as is asked for has a request.
    SlotsInUse,
    /// No more requests come.
    Draining,
}

/// What kept a batch from going earlier, at the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// It went as soon as it was there.
    Nothing,
    /// More requests, or the end of the delay.
    Company,
    /// An instance without work.
    Instance,
    /// Resources that the rate limiter gives out.
    Resources,
    /// A slot for its sequence.
    Slot,
    /// An answer of the batching strategy.
    Strategy,
}

// === impl BatchReason ===

impl BatchReason {
    /// The word in documents and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unbatched => "unbatched",
            Self::Full => "full",
            Self::Preferred => "preferred",
            Self::AbovePreferred => "above_preferred",
            Self::NoRoom => "no_room",
            Self::OtherShape => "other_shape",
            Self::OtherInputs => "other_inputs",
            Self::Strategy => "strategy",
            Self::NoDelay => "no_delay",
            Self::DelayOver => "delay_over",
            Self::SlotsInUse => "slots_in_use",
            Self::Draining => "draining",
        }
    }
}

// === impl Awaited ===

impl Awaited {
    /// The word in documents and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Company => "company",
            Self::Instance => "instance",
            Self::Resources => "resources",
            Self::Slot => "slot",
            Self::Strategy => "strategy",
        }
    }
}
