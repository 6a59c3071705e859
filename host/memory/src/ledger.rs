//! What is charged to the budget, as a state machine: no clock, no I/O, no lock.
//!
//! ```text
//!              reserve            settle
//!  (nothing) ──────────> Reserved ──────> Charged ──┐ resize
//!      ^                    │                │  ^───┘
//!      └───── release ──────┴────────────────┘
//! ```
//!
//! Promises: reservations, charges and bytes in flight are never more than the budget together; what would pass it is
//! refused and changes nothing but a count. Nothing waits here, so nothing can wait for each other. What a load was
//! measured with is kept for the next one of the same version while its files have the same size; but for the first load of
//! a runtime, whose library came along and is there the next time. Costs: two look-ups in maps per load; two additions per
//! request.

mod learned;
mod nouns;

use std::collections::{BTreeMap, BTreeSet};

use nereid_inference::ModelIdentity;

use self::learned::Learned;
pub use self::nouns::Figures;
pub(crate) use self::nouns::{Basis, Estimate, Footprint, LoadFacts, Measured, Reason, Refusal, Usage};

/// One load, from its reservation to its release.
pub(crate) type EntryId = u64;

/// What is charged, reserved, in flight, and was refused.
#[derive(Debug)]
pub(crate) struct Ledger {
    budget_bytes: u64,
    entries: BTreeMap<EntryId, Entry>,
    usage: Usage,
    refusals: [u64; Reason::ALL.len()],
    next_entry: EntryId,
    learned: Learned,
    /// Those that are in the process for good.
    runtimes: BTreeSet<String>,
    /// Bytes of models that were let go since the start; never falls.
    released_bytes: u64,
    /// Bytes of loads that went on without being measured since the start; never falls.
    unmeasured_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    facts: LoadFacts,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Reserved { bytes: u64 },
    Charged { footprint: Footprint, instances: u64 },
}

/// Models that a refusal names.
const LARGEST_MAX: usize = 4;

// === impl Ledger: models ===

impl Ledger {
    /// An empty ledger that remembers what `learned_max` versions took.
    pub(crate) fn new(budget_bytes: u64, learned_max: usize) -> Self {
        Self {
            budget_bytes,
            entries: BTreeMap::new(),
            usage: Usage::default(),
            refusals: [0; Reason::ALL.len()],
            next_entry: 0,
            learned: Learned::new(learned_max),
            runtimes: BTreeSet::new(),
            released_bytes: 0,
            unmeasured_bytes: 0,
        }
    }

    /// What the last load of the version took, or its files.
    pub(crate) fn estimate(&self, facts: &LoadFacts) -> Estimate {
        let (Measured { footprint, surplus_bytes }, basis) = match self.learned.of(facts) {
            Some(measured) => (measured, Basis::LastLoad),
            None => {
                let footprint = Footprint { shared_bytes: facts.files_bytes, instance_bytes: 0 };
                (Measured { footprint, surplus_bytes: 0 }, Basis::Files)
            }
        };
        let resting_bytes = footprint.of(facts.instances);
        Estimate { peak_bytes: resting_bytes.saturating_add(surplus_bytes), resting_bytes, footprint, basis }
    }

    /// Keeps room for a load that is about to begin.
    pub(crate) fn reserve(&mut self, facts: LoadFacts) -> Result<(EntryId, Estimate), Refusal> {
        let estimate = self.estimate(&facts);
        if estimate.peak_bytes > self.room() {
            return Err(self.refuse(Reason::Load, estimate.peak_bytes, estimate.basis));
        }
        let id = self.next_entry;
        self.next_entry += 1;
        self.usage.loading += estimate.peak_bytes;
        self.entries.insert(id, Entry { facts, state: State::Reserved { bytes: estimate.peak_bytes } });
        Ok((id, estimate))
    }

    /// A load is over and took this; what it leaves of its reservation is free again. Refused, it keeps its reservation
    /// until it is released, and is remembered: the next load knows what it needs. The first load of a runtime is not.
    pub(crate) fn settle(&mut self, id: EntryId, measured: Measured) -> Result<(), Refusal> {
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        let State::Reserved { bytes } = entry.state else { return Ok(()) };
        let facts = entry.facts.clone();
        let is_first = self.runtimes.insert(facts.runtime.clone());
        if !is_first {
            self.learned.learn(&facts, measured);
        }
        let charged = measured.footprint.of(facts.instances);
        let others = self.usage.total() - bytes;
        if charged > self.budget_bytes - others {
            let basis = if is_first { Basis::FirstOfRuntime } else { Basis::ThisLoad };
            return Err(self.refuse(Reason::Measured, charged, basis));
        }
        self.usage.loading -= bytes;
        self.usage.models += charged;
        entry.state = State::Charged { footprint: measured.footprint, instances: facts.instances };
        Ok(())
    }

    /// A load goes on that nobody measures: it is charged what was expected.
    pub(crate) fn settle_unmeasured(&mut self, id: EntryId, estimate: Estimate) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let State::Reserved { bytes } = entry.state else { return };
        self.runtimes.insert(entry.facts.runtime.clone());
        entry.state = State::Charged { footprint: estimate.footprint, instances: entry.facts.instances };
        self.usage.loading -= bytes;
        // Never more than was reserved.
        self.usage.models += estimate.resting_bytes;
    }

    /// A load begins that nobody will measure.
    pub(crate) fn note_unmeasured(&mut self, estimate: Estimate) {
        self.unmeasured_bytes = self.unmeasured_bytes.saturating_add(estimate.resting_bytes);
    }

    /// A loaded version will have this many instances, or has no more than these.
    pub(crate) fn resize(&mut self, id: EntryId, wanted: u64) -> Result<(), Refusal> {
        let Some(State::Charged { footprint, instances }) = self.entries.get(&id).map(|entry| entry.state) else {
            return Ok(());
        };
        let (before, after) = (footprint.of(instances), footprint.of(wanted));
        let more = after.saturating_sub(before);
        if more > self.room() {
            return Err(self.refuse(Reason::Instances, more, Basis::LastLoad));
        }
        self.usage.models = self.usage.models - before + after;
        self.released_bytes = self.released_bytes.saturating_add(before.saturating_sub(after));
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = State::Charged { footprint, instances: wanted };
        }
        Ok(())
    }

    /// A load failed, or a version is gone.
    pub(crate) fn release(&mut self, id: EntryId) {
        match self.entries.remove(&id).map(|entry| entry.state) {
            None => {}
            Some(State::Reserved { bytes }) => {
                self.usage.loading -= bytes;
                self.released_bytes = self.released_bytes.saturating_add(bytes);
            }
            Some(State::Charged { footprint, instances }) => {
                let bytes = footprint.of(instances);
                self.usage.models -= bytes;
                self.released_bytes = self.released_bytes.saturating_add(bytes);
            }
        }
    }
}

// === impl Ledger: requests ===

impl Ledger {
    /// A request of so many bytes is under way until [`Ledger::finish`].
    pub(crate) fn admit(&mut self, bytes: u64) -> Result<(), Refusal> {
        if bytes > self.room() {
            return Err(self.refuse(Reason::Request, bytes, Basis::ThisLoad));
        }
        self.usage.in_flight += bytes;
        Ok(())
    }

    /// A request that was admitted is over.
    pub(crate) fn finish(&mut self, bytes: u64) {
        self.usage.in_flight -= bytes;
    }
}

// === impl Ledger: questions ===

impl Ledger {
    /// How many instances a loaded version is charged for.
    pub(crate) fn instances(&self, id: EntryId) -> Option<u64> {
        match self.entries.get(&id)?.state {
            State::Charged { instances, .. } => Some(instances),
            State::Reserved { .. } => None,
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    pub(crate) fn released_bytes(&self) -> u64 {
        self.released_bytes
    }

    pub(crate) fn unmeasured_bytes(&self) -> u64 {
        self.unmeasured_bytes
    }

    pub(crate) fn figures(&self) -> Figures {
        let refusals = Reason::ALL.map(|reason| {
            let count = self.refusals.get(reason as usize).copied().unwrap_or_default();
            (reason.label(), count)
        });
        Figures {
            budget_bytes: self.budget_bytes,
            models: self.models(),
            loading_bytes: self.usage.loading,
            in_flight_bytes: self.usage.in_flight,
            refusals,
        }
    }

    fn room(&self) -> u64 {
        self.budget_bytes - self.usage.total()
    }

    fn models(&self) -> BTreeMap<ModelIdentity, u64> {
        let mut models = BTreeMap::new();
        for entry in self.entries.values() {
            if let State::Charged { footprint, instances } = entry.state {
                *models.entry(entry.facts.model.clone()).or_default() += footprint.of(instances);
            }
        }
        models
    }

    fn refuse(&mut self, reason: Reason, wanted_bytes: u64, basis: Basis) -> Refusal {
        if let Some(count) = self.refusals.get_mut(reason as usize) {
            *count += 1;
        }
        let mut largest: Vec<(ModelIdentity, u64)> = match reason {
            // Requests are refused often, and there is no model to blame.
            Reason::Request => Vec::new(),
            _ => self.models().into_iter().filter(|(_, bytes)| *bytes > 0).collect(),
        };
        largest.sort_by(|(one_model, one), (other_model, other)| other.cmp(one).then(one_model.cmp(other_model)));
        largest.truncate(LARGEST_MAX);
        Refusal { reason, wanted_bytes, basis, budget_bytes: self.budget_bytes, usage: self.usage, largest }
    }
}

#[cfg(test)]
mod tests;
