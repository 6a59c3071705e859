//! What is charged, as values: dropping one gives its bytes back.

use std::fmt;

use nereid_inference::{InferError, ModelIdentity, SharedTicket, Ticket};

use crate::{
    MemoryBudget, Warmed,
    ledger::{EntryId, Estimate},
    meter::{Look, Readings},
    size::Size,
    texts,
    turn::Turn,
};

/// What one generation of a model version is charged: first what it is expected to take, then what it took.
///
/// To be dropped after the model.
pub struct ModelCharge {
    budget: MemoryBudget,
    model: ModelIdentity,
    id: EntryId,
    estimate: Estimate,
    /// While it is loaded, if it is measured.
    measuring: Option<Measuring>,
}

struct Measuring {
    before: Look,
    charged_bytes: u64,
    shared_resident_bytes: Option<u64>,
    peak_bytes: u64,
    instances: u64,
    /// Last, so that the next load begins when this one is settled.
    _turn: Turn,
}

/// A request's share.
pub(crate) struct InFlight {
    budget: MemoryBudget,
    bytes: u64,
    /// The ticket that the request came with.
    _outer: Option<SharedTicket>,
}

// === impl ModelCharge: while it is loaded ===

impl ModelCharge {
    pub(crate) fn new(budget: MemoryBudget, model: ModelIdentity, id: EntryId, estimate: Estimate) -> Self {
        Self { budget, model, id, estimate, measuring: None }
    }

    /// Waits for the turn, and looks at the process. Blocks.
    pub(crate) fn begin(&mut self, instances: u64) {
        let Some(turn) = self.budget.take_turn() else {
            self.budget.ledger().note_unmeasured(self.estimate);
            return;
        };
        let Some(before) = self.budget.look() else { return };
        let charged_bytes = self.budget.ledger().usage().models;
        self.budget.process().restart_peak();
        self.measuring = Some(Measuring {
            before,
            charged_bytes,
            shared_resident_bytes: None,
            peak_bytes: before.resident_bytes,
            instances,
            _turn: turn,
        });
    }

    /// What all instances share is loaded, and the first of them is about to be made.
    pub fn shared_part_is_loaded(&mut self) {
        if let Some(measuring) = &mut self.measuring {
            measuring.shared_resident_bytes = self.budget.process().resident_bytes();
        }
    }

    /// The version is loaded, and its instances are warm: from now on it is charged what it took.
    ///
    /// # Errors
    /// It took more than there is room for: the version is to be dropped, and then this. `ResourceExhausted` when others
    /// could make room, `InvalidArgument` when that would not help.
    pub fn settle(&mut self, warmed: Warmed) -> Result<(), InferError> {
        let (after, peak_bytes) = (self.budget.look(), self.budget.process().peak_bytes());
        let (Some(measuring), Some(after)) = (self.measuring.take(), after) else {
            self.budget.go_unmeasured(self.id, self.estimate, "it was not measured alone");
            return Ok(());
        };
        let readings = Readings {
            base_bytes: self.budget.base_bytes(),
            charged_bytes: measuring.charged_bytes,
            before: measuring.before,
            shared_resident_bytes: measuring.shared_resident_bytes.unwrap_or(after.resident_bytes),
            after,
            peak_bytes: peak_bytes.unwrap_or_default().max(measuring.peak_bytes),
            estimate_bytes: self.estimate.resting_bytes,
            instances: measuring.instances,
            warmed,
        };
        let measured = readings.measured();
        let settled = self.budget.ledger().settle(self.id, measured);
        settled.map_err(|refusal| texts::error(&self.model, "", &refusal))?;
        let (footprint, charged) = (measured.footprint, measured.footprint.of(measuring.instances));
        tracing::info!(
            "{} is charged {} of the memory budget: {} for all instances and {} for each",
            self.model,
            Size(charged),
            Size(footprint.shared_bytes),
            Size(footprint.instance_bytes)
        );
        Ok(())
    }
}

// === impl ModelCharge: while it serves ===

impl ModelCharge {
    /// Room for a change of the instances to `wanted`: they are more from now on, or [`ModelCharge::shrink`] says when
    /// they are fewer. Returns how many there were.
    ///
    /// # Errors
    /// There is no room for so many; nothing has changed.
    pub fn grow(&self, wanted: usize) -> Result<usize, InferError> {
        let mut ledger = self.budget.ledger();
        let Some(before) = ledger.instances(self.id) else { return Ok(wanted) };
        let resized = ledger.resize(self.id, before.max(wanted as u64));
        drop(ledger);
        resized.map_err(|refusal| texts::error(&self.model, "", &refusal))?;
        Ok(usize::try_from(before).unwrap_or(wanted))
    }

    /// There are no more instances than these any more.
    pub fn shrink(&self, left: usize) {
        let mut ledger = self.budget.ledger();
        let left = ledger.instances(self.id).map(|instances| instances.min(left as u64));
        // Less is never refused.
        let _ = left.map(|left| ledger.resize(self.id, left));
    }
}

impl Drop for ModelCharge {
    fn drop(&mut self) {
        self.budget.ledger().release(self.id);
    }
}

impl fmt::Debug for ModelCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelCharge({}, measured: {})", self.model, self.measuring.is_none())
    }
}

// === impl InFlight ===

impl InFlight {
    pub(crate) fn new(budget: MemoryBudget, bytes: u64, outer: Option<SharedTicket>) -> Self {
        Self { budget, bytes, _outer: outer }
    }
}

impl Ticket for InFlight {}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.budget.ledger().finish(self.bytes);
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InFlight({} bytes)", self.bytes)
    }
}
