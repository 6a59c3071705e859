//! The budget of a server: the ledger behind one lock, and the turn in which loads are measured.
//!
//! Costs: two short locks per request; a load waits while another one is measured, and reads `/proc` some times.

use std::sync::Arc;

use nereid_inference::{InferError, ModelIdentity, SharedTicket};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    Figures, MemoryLimits, ProcessMemory,
    handles::{InFlight, ModelCharge},
    ledger::{EntryId, Estimate, Ledger, LoadFacts, Refusal},
    meter::Look,
    texts,
    turn::{Turn, Turns},
};

/// What all models and requests of a server share; a cheap handle.
#[derive(Clone)]
pub struct MemoryBudget(Arc<Inner>);

struct Inner {
    ledger: Mutex<Ledger>,
    turns: Arc<Turns>,
    process: Arc<dyn ProcessMemory>,
    limits: MemoryLimits,
    /// Resident before the first load.
    base_bytes: u64,
}

// === impl MemoryBudget ===

impl MemoryBudget {
    /// A budget of which nothing is used. What the process has at this moment counts as the server's own, and is not
    /// charged to it.
    pub fn new(budget_bytes: u64, limits: MemoryLimits, process: Arc<dyn ProcessMemory>) -> Self {
        let base_bytes = process.resident_bytes();
        if base_bytes.is_none() {
            tracing::warn!("the memory of this process cannot be read: models are charged the size of their files");
        }
        Self(Arc::new(Inner {
            ledger: Mutex::new(Ledger::new(budget_bytes, limits.learned_max)),
            turns: Arc::default(),
            process,
            limits,
            base_bytes: base_bytes.unwrap_or_default(),
        }))
    }

    /// A version is about to be loaded with so many instances, from files of so many bytes, into `runtime`: the backend, and
    /// what else a process loads once for all such models. Keeps room for it, and waits until it may be measured; blocks.
    ///
    /// # Errors
    /// There is no room: `ResourceExhausted` when others could make some, `InvalidArgument` when that would not help.
    pub fn begin_load(
        &self,
        model: &ModelIdentity,
        runtime: &str,
        (files_bytes, instances): (u64, usize),
    ) -> Result<ModelCharge, InferError> {
        let facts =
            LoadFacts { model: model.clone(), runtime: runtime.to_owned(), files_bytes, instances: instances as u64 };
        let reserved = self.ledger().reserve(facts);
        let (id, estimate) = reserved.map_err(|refusal| texts::error(model, "", &refusal))?;
        // From here on whatever happens gives the reservation back.
        let mut charge = ModelCharge::new(self.clone(), model.clone(), id, estimate);
        charge.begin(instances as u64);
        Ok(charge)
    }

    /// A request of so many bytes goes to the model. The ticket, which keeps `outer`, is what it is charged with.
    ///
    /// # Errors
    /// `Unavailable`: other requests and the models leave no room for it now. `prefix` stands in front of the text.
    pub fn admit(
        &self,
        model: &ModelIdentity,
        bytes: u64,
        outer: Option<SharedTicket>,
        prefix: impl FnOnce() -> String,
    ) -> Result<SharedTicket, InferError> {
        let admitted = self.ledger().admit(bytes);
        admitted.map_err(|refusal: Refusal| texts::error(model, &prefix(), &refusal))?;
        Ok(Arc::new(InFlight::new(self.clone(), bytes, outer)))
    }

    /// What is charged now.
    pub fn figures(&self) -> Figures {
        self.ledger().figures()
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock()
    }

    pub(crate) fn process(&self) -> &dyn ProcessMemory {
        &*self.0.process
    }

    pub(crate) fn base_bytes(&self) -> u64 {
        self.0.base_bytes
    }

    pub(crate) fn take_turn(&self) -> Option<Turn> {
        self.0.turns.take(self.0.limits.turn_wait_max)
    }

    /// The process and the ledger now; `None` where nobody tells.
    pub(crate) fn look(&self) -> Option<Look> {
        let resident_bytes = self.process().resident_bytes()?;
        let ledger = self.ledger();
        Some(Look {
            resident_bytes,
            released_bytes: ledger.released_bytes(),
            unmeasured_bytes: ledger.unmeasured_bytes(),
        })
    }

    pub(crate) fn go_unmeasured(&self, id: EntryId, estimate: Estimate, because: &str) {
        let mut ledger = self.ledger();
        ledger.settle_unmeasured(id, estimate);
        drop(ledger);
        tracing::debug!("a load is charged {} bytes by its estimate: {because}", estimate.resting_bytes);
    }
}

#[cfg(test)]
mod tests;
