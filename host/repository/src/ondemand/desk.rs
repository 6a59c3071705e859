//! Does what the policy decides: requests wait here, models are loaded and unloaded, and everybody is answered.
//!
//! One thread keeps the time and begins what is to be done; every load and unload has a thread of its own, of which there
//! are as many as loads may be under way, and at most as many for unloads as models are allowed.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak, mpsc},
    thread::{self, JoinHandle},
    time::Instant,
};

use nereid_inference::{InferError, InferRequest, ModelIdentity, ResponseSender, ServedModel};

use crate::{
    bell::Bell,
    control::Load,
    execute::Outcomes,
    guard::guarded,
    model_id::ModelId,
    ondemand::{
        OnDemand,
        catalogue::id_of,
        policy::{Action, Answer, Finished, Refusal, Slot},
        standin::Door,
    },
    swap::Origin,
};

/// Somebody who waits for a model.
#[derive(Debug)]
pub(super) enum Waiter {
    Request {
        door: Arc<Door>,
        request: Box<InferRequest>,
        sender: ResponseSender,
    },
    /// Who asked for the load by name.
    Load(mpsc::Sender<Result<(), InferError>>),
}

/// The thread that begins what is to be done.
///
/// # Errors
/// The system gives no thread.
pub(super) fn start(service: &Arc<OnDemand>) -> Result<JoinHandle<()>, InferError> {
    let (bell, service) = (service.bell.clone(), Arc::downgrade(service));
    let worker = thread::Builder::new().name("model-ondemand".to_owned()).spawn(move || work(&bell, &service));
    worker.map_err(|error| InferError::internal(format!("no thread to load models on demand: {error}")))
}

fn work(bell: &Bell, service: &Weak<OnDemand>) {
    let mut begun: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let Some(on_demand) = service.upgrade() else { break };
        begun.retain(|thread| !thread.is_finished());
        begun.extend(on_demand.act(Instant::now()));
        let wake_at = on_demand.policy.lock().wake_at();
        drop(on_demand);
        if !bell.wait(wake_at) {
            break;
        }
    }
    for thread in begun {
        if thread.join().is_err() {
            tracing::error!("a thread that loads models on demand ended early");
        }
    }
}

// === impl OnDemand: requests ===

impl OnDemand {
    /// Counts a request for a model that is loaded; `false` when it is not.
    pub(super) fn enter(&self, slot: Slot) -> bool {
        self.policy.lock().enter(slot)
    }

    /// A request is over; somebody may wait for its model to be idle.
    pub(super) fn done(&self, slot: Slot) {
        let mut policy = self.policy.lock();
        policy.done(slot);
        let is_awaited = policy.has_queue();
        drop(policy);
        if is_awaited {
            self.bell.ring();
        }
    }

    /// The generation that is loaded.
    pub(super) fn served(&self, title: &str, version: u64) -> Result<Arc<dyn ServedModel>, InferError> {
        self.repository.route.load().model(title, Some(version))
    }

    /// The model is loaded for the waiter, or the waiter is answered at once.
    pub(super) fn wait(&self, now: Instant, slot: Slot, waiter: Waiter) {
        let mut policy = self.policy.lock();
        let mut answer = policy.wait(now, slot, waiter);
        let mut gone = Vec::new();
        if let Answer::Refused(waiter, Refusal::TooManyWait) = answer {
            gone = policy.forget(Waiter::is_gone);
            answer = policy.wait(now, slot, waiter);
        }
        drop(policy);
        drop(gone);
        match answer {
            Answer::Waits => self.bell.ring(),
            // Loaded meanwhile.
            Answer::Served(waiter) => self.serve(slot, waiter),
            Answer::Refused(waiter, refusal) => waiter.refuse(self.explain(slot, &refusal)),
        }
    }

    /// Whether the next request would be refused, and why.
    pub(super) fn refusal(&self, identity: &ModelIdentity) -> Option<InferError> {
        let now = Instant::now();
        if !self.policy.lock().has_failures(now) {
            return None;
        }
        let slot = self.catalogue.lock().slot(&id_of(identity))?;
        let refusal = self.policy.lock().refusal(now, slot)?;
        Some(self.explain(slot, &refusal))
    }

    fn serve(&self, slot: Slot, waiter: Waiter) {
        match waiter {
            Waiter::Request { sender, .. } if sender.is_cancelled() => self.done(slot),
            Waiter::Request { door, request, sender } => sender.continue_with(door.serve(self, *request)),
            Waiter::Load(sender) => {
                // Nobody is there to be told when the caller gave up.
                let _ = sender.send(Ok(()));
                self.done(slot);
            }
        }
    }
}

// === impl OnDemand: what is to be done ===

impl OnDemand {
    /// Begins everything that is to be done now.
    fn act(self: &Arc<Self>, now: Instant) -> Vec<JoinHandle<()>> {
        let mut begun = Vec::new();
        loop {
            let action = self.policy.lock().next(now);
            match action {
                None => return begun,
                Some(Action::Refuse(slot, waiters, refusal)) => {
                    let error = self.explain(slot, &refusal);
                    waiters.into_iter().for_each(|waiter| waiter.refuse(error.clone()));
                }
                Some(Action::Load(slot)) => begun.extend(self.begin("model-load", slot, Self::load_slot)),
                Some(Action::Retry(waiter)) => waiter.retry(),
                Some(Action::Unload(slot)) => begun.extend(self.begin("model-unload", slot, Self::unload_slot)),
            }
        }
    }

    /// Runs `work` on a thread of its own; here, when there is none to be had.
    fn begin(self: &Arc<Self>, name: &str, slot: Slot, work: fn(&Self, Slot)) -> Option<JoinHandle<()>> {
        let on_demand = self.clone();
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || work(&on_demand, slot));
        spawned.inspect_err(|_| work(self, slot)).ok()
    }

    fn id(&self, slot: Slot) -> Option<ModelId> {
        self.catalogue.lock().ids().get(slot).cloned()
    }

    pub(super) fn unload_slot(&self, slot: Slot) {
        if let Some(id) = self.id(slot) {
            tracing::info!("making room: '{id}' was used least recently");
            self.repository.unload_models(&BTreeSet::from([id]), false);
        }
        self.policy.lock().gone(slot);
        self.bell.ring();
    }

    fn load_slot(&self, slot: Slot) {
        let Some(id) = self.id(slot) else { return };
        let outcomes = loop {
            let outcomes = self.load_id(&id);
            let Some(reason) = lack_of_memory(&outcomes) else { break outcomes };
            let victim = self.policy.lock().lacked_memory(slot);
            match victim {
                Some(victim) => self.unload_slot(victim),
                None if self.postpone(slot, &outcomes, reason) => return,
                None => break outcomes,
            }
        };
        let loaded = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| id);
        self.describe(loaded);
        let ids = self.catalogue.lock().ids();
        let outcome = |slot: Slot| match ids.get(slot) {
            Some(id) if self.is_loaded(id) => Ok(()),
            Some(id) => Err(match outcomes.get(id) {
                Some(Err(error)) => error.clone(),
                Some(Ok(_)) | None => InferError::internal(format!("'{id}' was not loaded")),
            }),
            None => Err(InferError::internal("the model is not known any more")),
        };
        let Finished { served, failed } = self.policy.lock().finished(Instant::now(), slot, outcome);
        served.into_iter().for_each(|(slot, waiter)| self.serve(slot, waiter));
        for (slot, waiter, reason) in failed {
            waiter.fail(reason, |reason| self.failure(slot, reason));
        }
        self.bell.ring();
    }

    /// The load waits for somebody to be idle and to go; `false` when that would be in vain.
    fn postpone(&self, slot: Slot, outcomes: &Outcomes, reason: &InferError) -> bool {
        self.describe(outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| id));
        let ids = self.catalogue.lock().ids();
        let is_loaded = |slot: Slot| ids.get(slot).is_some_and(|id| self.is_loaded(id));
        let postponed = self.policy.lock().postponed(slot, reason, is_loaded);
        let Some(served) = postponed else { return false };
        served.into_iter().for_each(|(slot, waiter)| self.serve(slot, waiter));
        self.bell.ring();
        true
    }

    /// What became of the model and its members.
    pub(super) fn load_id(&self, id: &ModelId) -> Outcomes {
        let load = || self.repository.load_and_relink(Load::of(BTreeSet::from([id.clone()]), Origin::demand()));
        guarded("loading on demand", load).unwrap_or_else(|error| Outcomes::from([(id.clone(), Err(error))]))
    }

    /// Models that were loaded are seen as they are now.
    pub(super) fn describe<'a>(&self, ids: impl Iterator<Item = &'a ModelId>) {
        let mut catalogue = self.catalogue.lock();
        for id in ids {
            catalogue.enter_loaded(self, id, &self.repository.route.load().ready_models(Some(&id.to_string())));
        }
        catalogue.publish(self);
    }
}

/// The first of the models that found no room, in the words of its load.
pub(super) fn lack_of_memory(outcomes: &Outcomes) -> Option<&InferError> {
    outcomes.values().filter_map(|outcome| outcome.as_ref().err()).find(|error| error.lacks_room())
}

// === impl Waiter ===

impl Waiter {
    /// Nobody waits for the answer any more.
    fn is_gone(&self) -> bool {
        match self {
            Self::Request { sender, .. } => sender.is_cancelled(),
            Self::Load(_) => false,
        }
    }

    /// Whoever waited to reload a model does so now; requests never wait for that.
    fn retry(self) {
        if let Self::Load(sender) = self {
            let _ = sender.send(Ok(()));
        }
    }

    fn refuse(self, error: InferError) {
        match self {
            Self::Request { sender, .. } => sender.respond(Err(error)),
            Self::Load(sender) => drop(sender.send(Err(error))),
        }
    }

    /// A load that failed: whoever asked for it gets the repository's own words, a request those that it can understand.
    fn fail(self, reason: InferError, explain: impl FnOnce(&InferError) -> InferError) {
        match self {
            Self::Request { .. } => self.refuse(explain(&reason)),
            Self::Load(_) => self.refuse(reason),
        }
    }
}
