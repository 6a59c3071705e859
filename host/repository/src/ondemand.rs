//! `--model-control-mode=ondemand`: a model is loaded by its first request, and unloaded when others need the room.
//!
//! At the start every configuration is read, completed and checked, and no model is loaded but those named by
//! `--load-model`. In front of each stands a [`Standin`], which knows its tensors; clients thus find it ready, with
//! metadata and configuration, before it is loaded. Requests for it wait, all for one load. What happens when is decided
//! in `policy.rs`; here it is done, loads and unloads on threads of their own.
//!
//! Costs, per request: two short locks. A model that is loaded by name stays until it is unloaded by name.

mod by_name;
mod catalogue;
mod desk;
mod policy;
mod standin;
mod texts;

#[cfg(test)]
mod simulation;

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    thread::JoinHandle,
    time::SystemTime,
};

use nereid_inference::{
    IndexEntry, InferError, InferenceService, LoadOverrides, ModelControl, ModelHistory, ModelState, ServedModel,
    ServerState,
};
use nereid_sync::{ArcSwap, Mutex};

use self::{
    catalogue::Catalogue,
    desk::Waiter,
    policy::{Policy, PolicySettings},
};
use crate::{
    Repository, StartReport,
    bell::Bell,
    book::Retired,
    control::one_error,
    ensembles::Member,
    model_id::ModelId,
    places::Places,
    plan::{Plan, Planner},
    repository::to_load,
    route::Route,
    swap::Origin,
};

/// Why a model is not loaded, in the index.
const NOT_LOADED: &str = "not loaded: its first request loads it";

/// The ports of a repository whose models are loaded on demand.
pub struct OnDemand {
    /// For those who outlive it.
    me: Weak<Self>,
    repository: Arc<Repository>,
    policy: Mutex<Policy<Waiter>>,
    catalogue: Mutex<Catalogue>,
    /// Leads to stand-ins.
    route: ArcSwap<Route>,
    bell: Arc<Bell>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

// === impl OnDemand: from start to end ===

impl OnDemand {
    /// The ports of `repository`, whose control mode must be [`crate::ControlMode::OnDemand`], before its start.
    pub fn new(repository: Arc<Repository>) -> Arc<Self> {
        let limits = &repository.settings.limits;
        let settings = PolicySettings {
            models_max: limits.ondemand_models_max,
            waiters_max: limits.ondemand_requests_max,
            wait_max: limits.ondemand_wait_max,
            retry_after: limits.ondemand_retry_after,
            loads_max: repository.settings.load_thread_count.max(1),
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            policy: Mutex::new(Policy::new(settings)),
            catalogue: Mutex::default(),
            route: ArcSwap::new(Arc::new(Route::new(repository.settings.has_namespaces))),
            bell: Arc::default(),
            worker: Mutex::default(),
            repository,
        })
    }

    /// Reads what there is, and loads what was named. Blocks the calling thread.
    ///
    /// # Errors
    /// A repository cannot be read, or no thread can be started.
    pub fn start(self: &Arc<Self>) -> Result<StartReport, InferError> {
        // Ensembles that are loaded at the start find their members through this service.
        let plan = self.read_catalogue()?;
        let report = self.repository.start()?;
        self.note_unreadable(&plan);
        self.reconcile();
        let started: BTreeSet<ModelId> = {
            let catalogue = self.catalogue.lock();
            let named = self.repository.settings.load_models.iter();
            named.flat_map(|name| catalogue.called(name)).collect()
        };
        for id in &started {
            self.pin(id, true);
        }
        *self.worker.lock() = Some(desk::start(self)?);
        let count = self.catalogue.lock().len();
        tracing::info!(
            "{count} models can be loaded on demand, {} at one time",
            self.policy.lock().settings().models_max
        );
        Ok(report)
    }

    /// Nothing is loaded or unloaded any more. Waits for what is under way.
    pub fn close(&self) {
        self.bell.stop();
        if let Some(worker) = self.worker.lock().take()
            && worker.join().is_err()
        {
            tracing::error!("loading on demand ended early");
        }
    }

    /// Prepares every model of the repositories.
    fn read_catalogue(&self) -> Result<Plan, InferError> {
        let repository = &self.repository;
        let places = Places::open(&repository.settings)?;
        let wanted = places.scan()?.into_keys().collect();
        let plan = Planner::new(&repository.settings, &places, &*repository.loader, wanted).plan();
        self.catalogue.lock().enter(self, &plan);
        Ok(plan)
    }

    /// Shows in the index what is wrong with models that are not even tried.
    fn note_unreadable(&self, plan: &Plan) {
        self.repository.change(|book| {
            for (id, prepared) in plan {
                if let Err(error) = prepared {
                    tracing::error!("model '{id}' cannot be loaded: {error}");
                    book.fail(id, error.message(), (&Origin::start(), SystemTime::now()));
                }
            }
            Retired::new()
        });
    }
}

// === impl OnDemand: questions ===

impl OnDemand {
    /// Whether the repository serves it now.
    fn is_loaded(&self, id: &ModelId) -> bool {
        matches!(self.repository.book.lock().member(id), Member::Ready(_))
    }

    /// Takes over what was loaded and unloaded by name.
    fn reconcile(&self) {
        let ids = self.catalogue.lock().ids();
        // Asked under the policy's lock: what finishes meanwhile is not overwritten by an older answer.
        self.policy.lock().reconcile(|slot| ids.get(slot).is_some_and(|id| self.is_loaded(id)));
    }

    /// Keeps the model loaded, or not; returns whether it was kept before.
    fn pin(&self, id: &ModelId, pinned: bool) -> bool {
        let slot = self.catalogue.lock().slot(id);
        slot.is_some_and(|slot| self.policy.lock().pin(slot, pinned))
    }

    /// A model that could not even be read has no stand-in, and its reason here.
    fn explained(&self, name: &str, error: InferError) -> InferError {
        let known = self.repository.book.lock().called(name);
        let mut reasons = known.iter().filter_map(|id| match self.repository.book.lock().member(id) {
            Member::Failed(reason) => Some((id.clone(), reason)),
            Member::Ready(_) | Member::Absent => None,
        });
        match reasons.next() {
            Some((id, reason)) => InferError::unavailable(format!("model '{id}' cannot be loaded: {reason}")),
            None => error,
        }
    }
}

impl InferenceService for OnDemand {
    fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = self.route.load().model(name, version).map_err(|error| self.explained(name, error))?;
        match self.refusal(model.identity()) {
            None => Ok(model),
            Some(error) => Err(error),
        }
    }

    fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        self.route.load().ready_models(name)
    }

    /// A model that cannot be loaded fails its own requests; the server is ready for all others.
    fn server_state(&self) -> ServerState {
        match self.repository.server_state() {
            ServerState::NotReady => ServerState::Ready,
            state => state,
        }
    }
}

impl ModelControl for OnDemand {
    fn index(&self) -> Vec<IndexEntry> {
        let mut index = self.repository.index();
        for entry in &mut index {
            let is_idle = entry.state.is_none() || entry.reason == crate::lifecycle::UNLOADED;
            if is_idle {
                entry.state = Some(ModelState::Unavailable);
                NOT_LOADED.clone_into(&mut entry.reason);
            }
        }
        index
    }

    fn load(&self, name: &str, overrides: LoadOverrides) -> Result<(), InferError> {
        self.repository.check_load(name)?;
        if !overrides.is_empty() {
            return Err(InferError::unsupported(format!(
                "model '{name}' is loaded on demand as it lies in the repository; a load with 'config' or files needs \
                 --model-control-mode=explicit"
            )));
        }
        let wanted = to_load(&Places::open(&self.repository.settings)?, name);
        one_error(wanted.iter().filter_map(|id| self.load_by_name(id).err()).collect())
    }

    fn unload(&self, name: &str, unload_dependents: bool) -> Result<(), InferError> {
        self.repository.check_control()?;
        let called = self.catalogue.lock().called(name);
        if called.is_empty() {
            // One that could not be read leaves the index, and one that is unknown is no error.
            self.unload_by_name(&ModelId::plain(name), unload_dependents);
        }
        called.iter().for_each(|id| self.unload_by_name(id, unload_dependents));
        Ok(())
    }

    fn history(&self, name: &str) -> Result<Vec<ModelHistory>, InferError> {
        self.repository.history(name)
    }
}
