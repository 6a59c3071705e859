//! Carries a plan out: loads what was prepared, members first, several models at a time, and routes to what is ready.
//!
//! Of a model that is served, only the versions that changed are loaded; when nothing but the instances is to change, the
//! generation that serves gets others.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use nereid_inference::{Generation, InferError, LoadStep, ServedModel};
use nereid_sync::{Condvar, Mutex};

use crate::{
    Repository,
    book::{Book, FinishedLoad, Loaded, Made, Retired, reason},
    ensembles,
    guard::guarded,
    model_id::ModelId,
    order::{LoadOrder, Next},
    parallel,
    plan::{self, Plan},
    prepare::Prepared,
    standing::Step,
    swap::Origin,
};

/// What became of each model of a plan.
pub(crate) type Outcomes = BTreeMap<ModelId, Result<Change, InferError>>;

/// What a load that went well has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing, or the number of its instances: whoever calls the model need not know.
    None,
    /// Some version is a new generation.
    Loaded,
}

impl Repository {
    /// Loads every model of the plan and returns when the last one is ready or has failed. The models of `relinked`
    /// are loaded even if nothing of them has changed. All names must be held.
    pub(crate) fn execute(&self, plan: Plan, relinked: &[ModelId], origin: &Origin) -> Outcomes {
        self.change(|book| {
            for (id, prepared) in &plan {
                match prepared {
                    Ok(prepared) => book.begin_load(id, &prepared.versions),
                    Err(error) => book.fail(id, error.message(), (origin, SystemTime::now())),
                }
            }
            Retired::new()
        });
        let order = Mutex::new(LoadOrder::new(&plan::members(&plan)));
        let changed = Condvar::new();
        let outcomes = Mutex::new(Outcomes::new());
        parallel::on_threads(self.settings.load_thread_count.min(plan.len()), || {
            while let Some(id) = next(&order, &changed) {
                if let Some(Ok(prepared)) = plan.get(&id) {
                    let has_changed =
                        |member: &ModelId| matches!(outcomes.lock().get(member), Some(Ok(Change::Loaded)));
                    let relink = relinked.contains(&id) || ensembles::members(&prepared.config).iter().any(has_changed);
                    let outcome = self.load_model(prepared, relink, origin);
                    outcomes.lock().insert(id.clone(), outcome);
                }
                order.lock().done(&id);
                changed.notify_all();
            }
        });
        // What nobody was using is gone by now, and its files with it.
        self.settle();
        let mut outcomes = outcomes.into_inner();
        let refused = plan.into_iter().filter_map(|(id, prepared)| Some((id, Err(prepared.err()?))));
        outcomes.extend(refused.inspect(|(id, outcome)| log_failure(id, outcome)));
        outcomes
    }

    /// Loads the versions of one model that need it; they become ready together.
    fn load_model(&self, prepared: &Prepared, relink: bool, origin: &Origin) -> Result<Change, InferError> {
        let name = &prepared.id;
        prepared.warnings.iter().for_each(|warning| tracing::warn!("model '{name}': {warning}"));
        let standing = self.book.lock().standing(name).filter(|_| !relink);
        let members_ready = ensembles::check_members(name, &prepared.config, |member| self.book.lock().member(member));
        let steps: Vec<(u64, Step)> = prepared
            .versions
            .iter()
            .map(|version| {
                let step = standing.as_ref().map_or(Step::Load, |standing| standing.step(prepared, *version));
                (*version, step)
            })
            .collect();
        let loads = steps.iter().filter(|(_, step)| matches!(step, Step::Load)).count();
        let loaded = match &members_ready {
            Ok(()) => self.take(prepared, steps, origin),
            Err(error) => prepared.versions.iter().map(|version| (*version, Err(error.clone()))).collect(),
        };
        let outcome = match &members_ready {
            Err(error) => Err(error.clone()),
            Ok(()) => summary(name, &loaded).map(|()| if loads > 0 { Change::Loaded } else { Change::None }),
        };
        match &outcome {
            Ok(_) => tracing::info!("successfully loaded '{name}'"),
            Err(_) => log_failure(name, &outcome),
        }
        let members = ensembles::members(&prepared.config);
        let (source, origin) = (prepared.source.clone(), origin.clone());
        let (at, now) = (SystemTime::now(), Instant::now());
        let finished = FinishedLoad { members, source, loaded, origin, at, now };
        self.finish(prepared, finished);
        // After the change: what they are told is so.
        if loads > 0 {
            tell_agents(prepared, outcome.is_ok());
        }
        if self.book.lock().has_swaps() {
            self.swap_bell.ring();
        }
        outcome
    }

    /// Requests find what was loaded, if that went well; the history, when it remembers this load, is told how long that took.
    fn finish(&self, prepared: &Prepared, finished: FinishedLoad) {
        let (id, mut is_remembered) = (&prepared.id, false);
        let has_failed = finished.loaded.iter().any(|(_, result)| result.is_err());
        let finish = |book: &mut Book| {
            let before = book.load_count(id);
            let retired = book.finish_load(id, finished);
            is_remembered = book.load_count(id) > before;
            retired
        };
        match has_failed {
            true => self.change(finish),
            false => prepared.clock.time(LoadStep::Swap, || self.change(finish)),
        }
        if is_remembered {
            self.book.lock().note_times(id, prepared.clock.times());
        }
    }

    /// Takes every step. Instances are changed last, when nothing else can fail: a generation that serves is not loaded
    /// anew when that fails.
    fn take(&self, prepared: &Prepared, steps: Vec<(u64, Step)>, origin: &Origin) -> Loaded {
        let mut loaded = Loaded::new();
        let mut reconfigured = Vec::new();
        for (version, step) in steps {
            match step {
                Step::Keep(served) => loaded.push((version, Ok(Made::kept(served)))),
                Step::Load => loaded.push((version, self.load_new(prepared, version, origin))),
                Step::Reconfigure(served) => reconfigured.push((version, served)),
            }
        }
        if loaded.iter().any(|(_, result)| result.is_err()) {
            loaded.extend(reconfigured.into_iter().map(|(version, served)| (version, Ok(Made::kept(served)))));
            return loaded;
        }
        for (version, served) in reconfigured {
            tracing::info!("updating the instances of {}:{version}", prepared.id);
            let update = || served.clone().reconfigured(&prepared.config);
            let result = match guarded("updating the instances", update) {
                Ok(Some(updated)) => Ok(Made::kept(updated)),
                Ok(None) => self.load_new(prepared, version, origin),
                Err(error) => Err(error),
            };
            loaded.push((version, result));
        }
        loaded
    }

    /// Loads a version, unless it is what was rolled back and nobody asks for it.
    fn load_new(&self, prepared: &Prepared, version: u64, origin: &Origin) -> Result<Made, InferError> {
        let served = self.load_version(prepared, version)?;
        let digest = served.generation().and_then(Generation::digest);
        if let Some(digest) = digest.filter(|_| origin.is_poll)
            && self.book.lock().is_rejected(&prepared.id, digest, served.config())
        {
            return Err(InferError::unavailable(format!(
                "this file (BLAKE3 {digest}) with this configuration was rolled back; change it, or ask for it by a load request"
            )));
        }
        Ok(Made { served, is_new: true })
    }

    fn load_version(&self, prepared: &Prepared, version: u64) -> Result<Arc<dyn ServedModel>, InferError> {
        let name = &prepared.id;
        let mut retries = self.settings.load_retry_count;
        loop {
            tracing::info!("loading: {name}:{version}");
            let load = || self.loader.load(prepared.model_source(version));
            match guarded("loading the model", load) {
                // What lacks room lacks it the next moment too.
                Err(error) if retries > 0 && !error.lacks_room() => {
                    tracing::warn!("failed to load '{name}' version {version}, trying again: {}", reason(&error));
                    retries -= 1;
                }
                result => return result,
            }
        }
    }
}

fn tell_agents(prepared: &Prepared, is_loaded: bool) {
    match &prepared.source.agents {
        Some(agents) if is_loaded => agents.completed(),
        Some(agents) => agents.failed(),
        None => {}
    }
}

/// The next model to load; waits while its members are being loaded.
fn next(order: &Mutex<LoadOrder>, changed: &Condvar) -> Option<ModelId> {
    let mut locked = order.lock();
    loop {
        match locked.next() {
            Next::Load(id) => return Some(id),
            Next::Done => return None,
            Next::Wait => changed.wait(&mut locked),
        }
    }
}

/// One result for all versions, in Triton's words. When nothing but room was missing, it says so.
fn summary(name: &ModelId, loaded: &Loaded) -> Result<(), InferError> {
    let failed: Vec<String> = loaded
        .iter()
        .filter_map(|(version, result)| Some((version, result.as_ref().err()?)))
        .map(|(version, error)| format!("version {version} is at UNAVAILABLE state: {};", reason(error)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let text = format!("load failed for model '{name}': {}", failed.join(" "));
    let mut errors = loaded.iter().filter_map(|(_, result)| result.as_ref().err());
    if errors.all(InferError::lacks_room) {
        return Err(InferError::resource_exhausted(text).lacking_room());
    }
    Err(InferError::invalid_argument(text))
}

fn log_failure(name: &ModelId, outcome: &Result<Change, InferError>) {
    if let Err(error) = outcome {
        tracing::error!("failed to load '{name}': {}", reason(error));
    }
}
