//! The port that operators come through: index, load, unload.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use nereid_inference::{IndexEntry, InferError, LoadOverrides, ModelControl, ModelState};

use crate::{
    ControlMode, Repository,
    book::Retired,
    execute::{Change, Outcomes},
    layout,
    plan::{AMBIGUOUS, Planner},
    source::Given,
};

const NOT_EXPLICIT: &str = "explicit model load / unload is not allowed if polling is enabled";

/// What the name of a directory may have on Linux.
const NAME_BYTES_MAX: usize = 255;

/// What is to be loaded.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) wanted: BTreeSet<String>,
    /// What a client sent for the one model that is wanted.
    given: Option<Arc<Given>>,
    /// Ensembles whose members have changed.
    relinks: bool,
}

impl ModelControl for Repository {
    fn index(&self) -> Vec<IndexEntry> {
        self.settle();
        let known = self.book.lock().index();
        // Directories that nobody asked to load are listed by name alone, unless nobody could.
        let found = layout::repositories(&self.settings.paths).and_then(|repositories| layout::scan(&repositories));
        let names = found.unwrap_or_else(|error| {
            tracing::warn!("the repository index may lack models: {error}");
            BTreeMap::new()
        });
        let unknown = names
            .into_iter()
            .filter(|(name, _)| !known.iter().any(|entry| entry.name == *name))
            .map(|(name, directories)| match directories.len() {
                1 => IndexEntry { name, version: None, state: None, reason: String::new() },
                _ => {
                    let state = Some(ModelState::Unavailable);
                    IndexEntry { name, version: None, state, reason: AMBIGUOUS.to_owned() }
                }
            })
            .collect::<Vec<_>>();
        let mut index = known;
        index.extend(unknown);
        index.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        index
    }

    fn load(&self, name: &str, overrides: LoadOverrides) -> Result<(), InferError> {
        self.check_control()?;
        check_name(name)?;
        let given = Given::read(name, overrides, &self.override_use, &self.settings.limits);
        let given = given.map_err(|error| poll_failure(name, &error))?;
        let load = Load { wanted: BTreeSet::from([name.to_owned()]), given: given.map(Arc::new), relinks: false };
        match self.load_and_relink(load)?.remove(name) {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => {
                self.book.lock().mark_explicit(name);
                Ok(())
            }
        }
    }

    fn unload(&self, name: &str, unload_dependents: bool) -> Result<(), InferError> {
        self.check_control()?;
        self.unload_model(name, unload_dependents);
        Ok(())
    }
}

impl Repository {
    /// No new requests for the model; with `unload_dependents`, none for the members that only it needs either.
    pub(crate) fn unload_model(&self, name: &str, unload_dependents: bool) {
        let mut names = BTreeSet::from([name.to_owned()]);
        let (_held, unloaded) = loop {
            let held = self.busy.hold(names.clone());
            // Known for certain only while nobody else changes them.
            let book = self.book.lock();
            let mut unloaded = BTreeSet::from([name.to_owned()]);
            if unload_dependents {
                unloaded.extend(book.orphans(name));
            }
            let affected: BTreeSet<String> = book.dependents(name).union(&unloaded).cloned().collect();
            drop(book);
            if affected.is_subset(&names) {
                break (held, unloaded);
            }
            names.extend(affected);
        };
        self.change(|book| {
            let mut retired = Retired::new();
            // Members of other ensembles stay, so only those who call this model lose one.
            for dependent in book.dependents(name).difference(&unloaded) {
                let reason = format!("ensemble '{dependent}' depends on '{name}' which has no loaded version");
                retired.extend(book.lose_member(dependent, &reason));
            }
            for name in &unloaded {
                retired.extend(book.unload(name));
            }
            retired
        });
        // What nobody was using is gone by now, and its files with it.
        self.settle();
        tracing::info!("unloading: {}", unloaded.into_iter().collect::<Vec<_>>().join(", "));
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
        let dependents: BTreeSet<String> = changed.flat_map(|(name, _)| book.dependents(name)).collect();
        drop(book);
        let wanted: BTreeSet<String> = dependents.into_iter().filter(|name| !outcomes.contains_key(name)).collect();
        if !wanted.is_empty() {
            self.load_all(Load { wanted, given: None, relinks: true })?;
        }
        Ok(outcomes)
    }

    /// Loads the models, and the members of their ensembles.
    fn load_all(&self, load: Load) -> Result<Outcomes, InferError> {
        let repositories = layout::repositories(&self.settings.paths)?;
        let wanted: Vec<String> = load.wanted.into_iter().collect();
        let standing = |name: &str| self.book.lock().standing(name);
        let planner = Planner::new(&self.settings, &repositories, &*self.loader, wanted.clone())
            .over(&standing)
            .given(load.given)
            .relinking(load.relinks);
        let mut names = planner.names();
        loop {
            // Held before the files are looked at: of two loads of one model the later one sees the later files.
            let held = self.busy.hold(names.clone());
            let mut plan = planner.plan();
            let planned: BTreeSet<String> = plan.keys().cloned().collect();
            if !planned.is_subset(&names) {
                // A configuration was changed in between, and names other members now.
                names.extend(planned);
                continue;
            }
            let mut refused = Outcomes::new();
            for (name, prepared) in &plan {
                if let Err(error) = prepared {
                    refused.insert(name.clone(), Err(poll_failure(name, error)));
                }
            }
            // A name that nothing is known of leaves no trace: clients may ask for any.
            let book = self.book.lock();
            plan.retain(|name, prepared| {
                prepared.is_ok() || book.knows(name) || !layout::find(&repositories, name).is_empty()
            });
            drop(book);
            let mut outcomes = self.execute(plan, if load.relinks { &wanted } else { &[] });
            outcomes.extend(refused);
            drop(held);
            return Ok(outcomes);
        }
    }

    fn check_control(&self) -> Result<(), InferError> {
        if self.exiting.load(Ordering::Acquire) {
            return Err(InferError::unavailable("Server exiting"));
        }
        match self.settings.control_mode {
            ControlMode::Explicit => Ok(()),
            ControlMode::None | ControlMode::Poll => Err(InferError::unavailable(NOT_EXPLICIT)),
        }
    }
}

/// What clients match on, with the reason that Triton leaves to its log.
fn poll_failure(name: &str, error: &InferError) -> InferError {
    let text = format!("failed to load '{name}', failed to poll from model repository");
    match error.message() {
        message if message == text => error.clone(),
        message => InferError::internal(format!("{text}: {message}")).with_source(error.clone()),
    }
}

// === impl Load ===

impl Load {
    /// Of these models, as they lie in the repositories.
    pub(crate) fn of(wanted: BTreeSet<String>) -> Self {
        Self { wanted, ..Self::default() }
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
