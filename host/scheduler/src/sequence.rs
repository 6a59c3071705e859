//! Sequences: requests that belong together go to one instance, one after the other, in order.
//!
//! A sequence has a slot of one instance from its START to its END, or until it is silent for too long; those for which
//! there is no slot wait in the backlog, oldest first. A model of [`iterative`] sequences hands a request back until it is
//! done with it. Which slots run together is the strategy's to say: [`direct`] or
//! [`oldest`].
//!
//! Promises: a slot belongs to one sequence; at most one request of a sequence runs at any time; what is kept between its
//! requests never meets another sequence; a cancelled request takes the rest of its sequence with it.
//! Costs: O(log n) per request, n being all that waits, and the strategy's look at the slots of one instance.

mod backlog;
mod bench;
mod direct;
mod iterative;
mod oldest;
mod policy;
mod settings;
mod tensors;

use std::time::Instant;

use nereid_inference::{BatchReason, SequenceFlags};

use self::bench::SlotIndex;
pub use self::{
    direct::DirectSettings,
    iterative::ITERATIVE_STEPS_MAX,
    settings::{SequenceSettings, SequenceStrategy},
    tensors::{CorrelationInput, SequenceTensors, Signal, SignalKind, StateInput},
};
pub(crate) use self::{
    iterative::{SequenceIds, go_on, not_iterative, too_many_steps},
    policy::SequencePolicy,
    tensors::KeptState,
};
use crate::{batching::Batchable, policy::InstanceIndex};

/// What a sequence policy needs of a request.
pub(crate) trait Sequenced: Batchable {
    /// What is kept between the requests of one sequence.
    type Memory: Default + Send;

    /// Where it stands in its sequence; `None` is not served here.
    fn flags(&self) -> Option<&SequenceFlags>;

    /// It is about to run, after all earlier requests of its sequence.
    fn enter(&mut self, memory: &mut Self::Memory);

    /// A request that fills the row of a slot that has none: like this one in shape, not ready, waited for by nobody.
    fn padding(&self) -> Self;

    /// Whether the two may share a batch, given what their sequences keep.
    fn fits_with(&self, memory: &Self::Memory, other: &Self, other_memory: &Self::Memory) -> bool;
}

/// A slot of an instance. Ordered so that sequences spread over the instances first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    slot: SlotIndex,
    instance: InstanceIndex,
}

/// Which slots of an idle instance run together now, if any do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pick {
    Run(Chosen),
    /// Look again at this time, or when another request arrives.
    Wait {
        until: Instant,
    },
    Nothing,
}

/// A batch that is to be, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chosen {
    /// `None` is a row without a request.
    rows: Vec<Option<SlotIndex>>,
    reason: BatchReason,
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
