//! The port that operators come through: index, load, unload.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use nereid_inference::{IndexEntry, InferError, LoadOverrides, ModelControl, ModelHistory, ModelState};

use crate::{
    ControlMode, Repository,
    book::Retired,
    ensembles::Member,
    execute::{Change, Outcomes},
    model_id::ModelId,
    places::Places,
    plan::{AMBIGUOUS, Planner},
    repository::to_load,
    source::Given,
    swap::Origin,
};

const NOT_EXPLICIT: &str = "explicit model load / unload is not allowed if polling is enabled";

/// What the name of a directory may have on Linux.
const NAME_BYTES_MAX: usize = 255;

/// What is to be loaded.
pub(crate) struct Load {
    pub(crate) wanted: BTreeSet<ModelId>,
    /// What a client sent for the one model that is wanted.
    pub(crate) given: Option<Arc<Given>>,
    /// What was sent with an earlier load does not count.
    pub(crate) is_fresh: bool,
    /// Ensembles whose members have changed.
    pub(crate) relinks: bool,
    pub(crate) origin: Origin,
}

impl ModelControl for Repository {
    fn index(&self) -> Vec<IndexEntry> {
        self.settle();
        let mut known = self.book.lock().index();
        known.iter_mut().for_each(|(id, entry)| self.say_why_not_ready(id, entry));
        // Directories that nobody asked to load are listed by name alone, unless nobody could.
        let found = Places::open(&self.settings).and_then(|places| places.scan());
        let models = found.unwrap_or_else(|error| {
            tracing::warn!("the repository index may lack models: {error}");
            BTreeMap::new()
        });
        let unknown = models
            .into_iter()
            .filter(|(id, _)| !known.iter().any(|(known, _)| known == id))
            .map(|(id, directories)| {
                let ambiguous = directories.len() > 1;
                let state = ambiguous.then_some(ModelState::Unavailable);
                let reason = if ambiguous { AMBIGUOUS.to_owned() } else { String::new() };
                let entry = IndexEntry { name: id.name.to_string(), version: None, state, reason };
                (id, entry)
            })
            .collect::<Vec<_>>();
        let mut index = known;
        index.extend(unknown);
        index.sort_by(|(a_id, a), (b_id, b)| (a_id, a.version).cmp(&(b_id, b.version)));
        index.into_iter().map(|(_, entry)| entry).collect()
    }

    fn load(&self, name: &str, overrides: LoadOverrides) -> Result<(), InferError> {
        self.check_load(name)?;
        let origin = Origin::request(&overrides.requested_by, !overrides.is_empty());
        let given = match overrides.overlay {
            true => self.overlaid(name, overrides).map(Some),
            false => Given::read(name, overrides, &self.override_use, &self.settings.limits),
        };
        let given = given.map_err(|error| poll_failure(&ModelId::plain(name), &error))?.map(Arc::new);
        let wanted = match given.as_ref().is_some_and(|given| given.files.is_some()) {
            // Its files come from no repository.
            true => BTreeSet::from([ModelId::plain(name)]),
            false => to_load(&Places::open(&self.settings)?, name),
        };
        let mut outcomes = self.load_and_relink(Load { given, ..Load::of(wanted.clone(), origin) })?;
        let mut failures = Vec::new();
        for id in &wanted {
            match outcomes.remove(id) {
                Some(Err(error)) => failures.push(error),
                Some(Ok(_)) | None => self.book.lock().mark_explicit(id),
            }
        }
        one_error(failures)
    }

    fn unload(&self, name: &str, unload_dependents: bool) -> Result<(), InferError> {
        self.check_control()?;
        let mut wanted = self.book.lock().called(name);
        if wanted.is_empty() {
            // One that failed to load leaves the index, and one that is unknown is no error.
            wanted.insert(ModelId::plain(name));
        }
        self.unload_models(&wanted, unload_dependents);
        Ok(())
    }

    fn history(&self, name: &str) -> Result<Vec<ModelHistory>, InferError> {
        let histories = self.book.lock().histories(name);
        if histories.is_empty() {
            return Err(InferError::not_found(format!("Request for unknown model: '{name}' is not found")));
        }
        Ok(histories)
    }

    fn roll_back(&self, name: &str, requested_by: &str) -> Result<(), InferError> {
        if self.exiting.load(Ordering::Acquire) {
            return Err(InferError::unavailable("Server exiting"));
        }
        let called: Vec<ModelId> = self.book.lock().called(name).into_iter().collect();
        match called.as_slice() {
            [id] => self.roll_back_to_previous(id, requested_by),
            [] => Err(InferError::not_found(format!("Request for unknown model: '{name}' is not found"))),
            _ => Err(InferError::invalid_argument(format!("there are {} models called '{name}'", called.len()))),
        }
    }
}

impl Repository {
    /// No new requests for the models; with `unload_dependents`, none for the members that only they need either.
    pub(crate) fn unload_models(&self, wanted: &BTreeSet<ModelId>, unload_dependents: bool) {
        let mut models = wanted.clone();
        let (_held, unloaded) = loop {
            let held = self.busy.hold(models.clone());
            // Known for certain only while nobody else changes them.
            let book = self.book.lock();
            let mut unloaded = wanted.clone();
            if unload_dependents {
                unloaded.extend(wanted.iter().flat_map(|id| book.orphans(id)));
            }
            let dependents = wanted.iter().flat_map(|id| book.dependents(id));
            let affected: BTreeSet<ModelId> = dependents.chain(unloaded.iter().cloned()).collect();
            drop(book);
            if affected.is_subset(&models) {
                break (held, unloaded);
            }
            models.extend(affected);
        };
        self.change(|book| {
            let mut retired = Retired::new();
            for id in wanted {
                // Members of other ensembles stay, so only those who call this model lose one.
                for dependent in book.dependents(id).difference(&unloaded) {
                    let reason = format!("ensemble '{dependent}' depends on '{id}' which has no loaded version");
                    retired.extend(book.lose_member(dependent, &reason));
                }
            }
            for id in &unloaded {
                retired.extend(book.unload(id));
            }
            retired
        });
        // What nobody was using is gone by now, and its files with it.
        self.settle();
        tracing::info!("unloading: {}", unloaded.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }

    /// Loads the models, and then the ensembles that are made of those of which there is a new generation: they see
    /// its tensors, or fail to and go on with the old generation; see the log.
    ///
    /// # Errors
    /// A repository cannot be read. A model that fails is an outcome.
    pub(crate) fn load_and_relink(&self, load: Load) -> Result<Outcomes, InferError> {
        let outcomes = self.load_all(load)?;
        let changed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Ok(Change::Loaded)));
        let book = self.book.lock();
        let mut dependents: BTreeSet<ModelId> = changed.flat_map(|(id, _)| book.to_relink(id)).collect();
        if self.settings.control_mode == ControlMode::OnDemand {
            // The others are linked when a request loads them.
            dependents.retain(|id| matches!(book.member(id), Member::Ready(_)));
        }
        drop(book);
        let wanted: BTreeSet<ModelId> = dependents.into_iter().filter(|id| !outcomes.contains_key(id)).collect();
        if !wanted.is_empty() {
            self.load_all(Load { relinks: true, ..Load::of(wanted, Origin::relink()) })?;
        }
        Ok(outcomes)
    }

    /// Loads the models, and the members of their ensembles.
    fn load_all(&self, load: Load) -> Result<Outcomes, InferError> {
        let places = Places::open(&self.settings)?;
        let wanted: Vec<ModelId> = load.wanted.into_iter().collect();
        let standing = |id: &ModelId| self.book.lock().standing(id);
        let planner = Planner::new(&self.settings, &places, &*self.loader, wanted.clone())
            .over(&standing)
            .given(load.given)
            .fresh(load.is_fresh)
            .relinking(load.relinks);
        let mut models = planner.models();
        loop {
            // Held before the files are looked at: of two loads of one model the later one sees the later files.
            let held = self.busy.hold(models.clone());
            let mut plan = planner.plan();
            let planned: BTreeSet<ModelId> = plan.keys().cloned().collect();
            if !planned.is_subset(&models) {
                // A configuration was changed in between, and names other members now.
                models.extend(planned);
                continue;
            }
            let mut refused = Outcomes::new();
            for (id, prepared) in &plan {
                if let Err(error) = prepared {
                    refused.insert(id.clone(), Err(poll_failure(id, error)));
                }
            }
            // A name that nothing is known of leaves no trace: clients may ask for any.
            let book = self.book.lock();
            plan.retain(|id, prepared| prepared.is_ok() || book.knows(id) || !places.find(id).is_empty());
            drop(book);
            let mut outcomes = self.execute(plan, if load.relinks { &wanted } else { &[] }, &load.origin);
            outcomes.extend(refused);
            drop(held);
            return Ok(outcomes);
        }
    }

    /// Whether the model may be loaded by name, as far as can be told without looking.
    pub(crate) fn check_load(&self, name: &str) -> Result<(), InferError> {
        self.check_control()?;
        check_name(name)
    }

    pub(crate) fn check_control(&self) -> Result<(), InferError> {
        if self.exiting.load(Ordering::Acquire) {
            return Err(InferError::unavailable("Server exiting"));
        }
        match self.settings.control_mode {
            ControlMode::Explicit | ControlMode::OnDemand => Ok(()),
            ControlMode::None | ControlMode::Poll => Err(InferError::unavailable(NOT_EXPLICIT)),
        }
    }
}

impl Repository {
    /// A version that is there and cannot serve now says why behind its state, as its readiness does.
    fn say_why_not_ready(&self, id: &ModelId, entry: &mut IndexEntry) {
        if entry.state != Some(ModelState::Ready) || !entry.reason.is_empty() {
            return;
        }
        let served = self.route.load().model(&id.to_string(), entry.version);
        if let Ok(served) = served
            && let Err(error) = served.readiness()
        {
            entry.reason = format!("not ready now: {}", error.message());
        }
    }
}

/// What clients match on, with the reason that Triton leaves to its log.
fn poll_failure(name: &ModelId, error: &InferError) -> InferError {
    let text = format!("failed to load '{name}', failed to poll from model repository");
    match error.message() {
        message if message == text => error.clone(),
        message => InferError::internal(format!("{text}: {message}")).with_source(error.clone()),
    }
}

// === impl Load ===

impl Load {
    /// Of these models, as they lie in the repositories.
    pub(crate) fn of(wanted: BTreeSet<ModelId>, origin: Origin) -> Self {
        Self { wanted, given: None, is_fresh: false, relinks: false, origin }
    }
}

/// A load is of all models of a name, and has one answer: the first failure's kind and every text.
pub(crate) fn one_error(failures: Vec<InferError>) -> Result<(), InferError> {
    match failures.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        [first, ..] => {
            let texts: Vec<&str> = failures.iter().map(InferError::message).collect();
            Err(InferError::new(first.kind(), texts.join("\n")).with_source(first.clone()))
        }
    }
}

/// A client's text may become the name of a directory.
fn check_name(name: &str) -> Result<(), InferError> {
    let trimmed = name.trim();
    if trimmed.is_empty() {
        return Err(InferError::invalid_argument("Model name cannot be empty. Please enter a valid name to deploy."));
    }
    if trimmed.len() > NAME_BYTES_MAX {
        let bytes = trimmed.len();
        let text = format!("invalid model name, it has {bytes} bytes, expected at most {NAME_BYTES_MAX}");
        return Err(InferError::invalid_argument(text));
    }
    if trimmed.contains('/') || trimmed == ".." {
        return Err(InferError::invalid_argument(format!(
            "invalid model name '{name}', model name must not contain path traversal characters"
        )));
    }
    Ok(())
}
