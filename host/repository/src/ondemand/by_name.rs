//! Loads and unloads that an operator asks for by name.
//!
//! Promises: what is loaded by name stays until it is unloaded by name; a reload changes what is loaded in place, and one
//! that fails leaves everything as it was. The old generation serves until the new one does: where the memory budget has no
//! room for both, others go as they do for a first load, and those that are in use are waited for as long as `ondemand-wait`.

use std::{
    collections::BTreeSet,
    sync::mpsc::{self, Receiver},
    time::Instant,
};

use nereid_inference::InferError;

use crate::{
    execute::{Change, Outcomes},
    model_id::ModelId,
    ondemand::{
        OnDemand,
        desk::{Waiter, lack_of_memory},
        policy::{Refusal, Slot},
    },
    places::Places,
    plan::Planner,
};

// === impl OnDemand: loads ===

impl OnDemand {
    /// Loads the model, or loads what has changed of it, and keeps it until it is unloaded by name.
    pub(super) fn load_by_name(&self, id: &ModelId) -> Result<(), InferError> {
        let known = self.catalogue.lock().slot(id);
        let Some(slot) = known else { return self.load_newcomer(id) };
        self.policy.lock().forgive(slot);
        let was_pinned = self.pin(id, true);
        let is_loaded = self.policy.lock().is_loaded(slot);
        let loaded = if is_loaded { self.reload(slot, id) } else { self.wait_for(slot) };
        match &loaded {
            Ok(()) => {
                // Somebody may have unloaded it meanwhile; the load came later.
                self.pin(id, true);
                self.repository.book.lock().mark_explicit(id);
            }
            // A generation that serves on stays as it was asked for.
            Err(_) => {
                self.pin(id, was_pinned && is_loaded);
            }
        }
        loaded
    }

    /// A directory that was not there at the start, or could not be read then.
    fn load_newcomer(&self, id: &ModelId) -> Result<(), InferError> {
        let places = Places::open(&self.repository.settings)?;
        let standing = |id: &ModelId| self.repository.book.lock().standing(id);
        let wanted = vec![id.clone()];
        let plan =
            Planner::new(&self.repository.settings, &places, &*self.repository.loader, wanted).over(&standing).plan();
        if !matches!(plan.get(id), Some(Ok(_))) {
            // Fails, with the text that a load has.
            return self.load_now(id).remove(id).unwrap_or(Ok(Change::None)).map(|_| ());
        }
        self.catalogue.lock().enter(self, &plan);
        self.load_by_name(id)
    }

    /// Loads what has changed of a model that is loaded, once there is room.
    fn reload(&self, slot: Slot, id: &ModelId) -> Result<(), InferError> {
        let until = Instant::now() + self.policy.lock().settings().wait_max;
        loop {
            let mut outcomes = self.load_now(id);
            let Some(reason) = lack_of_memory(&outcomes).cloned() else {
                return outcomes.remove(id).unwrap_or(Ok(Change::None)).map(|_| ());
            };
            if Instant::now() >= until {
                return Err(self.explain(slot, &Refusal::ReloadTooLong(reason)));
            }
            let victim = self.policy.lock().lacked_memory(slot);
            match victim {
                Some(victim) => self.unload_slot(victim),
                None => self.wait_for_room(slot, until, reason)?,
            }
        }
    }

    fn load_now(&self, id: &ModelId) -> Outcomes {
        let outcomes = self.load_id(id);
        self.describe(outcomes.keys());
        self.reconcile();
        outcomes
    }

    fn wait_for(&self, slot: Slot) -> Result<(), InferError> {
        let (sender, receiver) = mpsc::channel();
        self.wait(Instant::now(), slot, Waiter::Load(sender));
        told(&receiver)
    }

    /// Until the reload, which said `reason`, is to be tried again.
    fn wait_for_room(&self, slot: Slot, until: Instant, reason: InferError) -> Result<(), InferError> {
        let (sender, receiver) = mpsc::channel();
        let hopeless = self.policy.lock().await_room(slot, until, reason.clone(), Waiter::Load(sender));
        if hopeless.is_some() {
            return Err(reason);
        }
        self.bell.ring();
        told(&receiver)
    }
}

fn told(receiver: &Receiver<Result<(), InferError>>) -> Result<(), InferError> {
    receiver.recv().unwrap_or_else(|_| Err(InferError::unavailable("Server exiting")))
}

// === impl OnDemand: unloads ===

impl OnDemand {
    pub(super) fn unload_by_name(&self, id: &ModelId, unload_dependents: bool) {
        let slot = self.catalogue.lock().slot(id);
        if let Some(slot) = slot {
            let mut policy = self.policy.lock();
            policy.pin(slot, false);
            policy.forgive(slot);
            let is_changing = policy.is_changing(slot);
            drop(policy);
            if is_changing {
                // Whatever comes of it: it is over then.
                drop(self.wait_for(slot));
            }
            self.policy.lock().begin_unload(slot);
        }
        self.repository.unload_models(&BTreeSet::from([id.clone()]), unload_dependents);
        if let Some(slot) = slot {
            self.policy.lock().gone(slot);
        }
        self.reconcile();
        self.bell.ring();
    }
}
