//! The port that operators come through: index, load, unload.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use nereid_inference::{ErrorKind, IndexEntry, InferError, ModelControl};

use crate::{ControlMode, Repository, book::Retired, execute::Outcomes, layout, plan::Planner};

const NOT_EXPLICIT: &str = "explicit model load / unload is not allowed if polling is enabled";

impl ModelControl for Repository {
    fn index(&self) -> Vec<IndexEntry> {
        let mut book = self.book.lock();
        book.settle();
        let known = book.index();
        drop(book);
        // Directories that nobody asked to load are listed by name alone.
        let found = layout::repositories(&self.settings.paths).and_then(|repositories| layout::scan(&repositories));
        let names = found.unwrap_or_else(|error| {
            tracing::warn!("the repository index may lack models: {error}");
            BTreeMap::new()
        });
        let unknown = names
            .into_keys()
            .filter(|name| !known.iter().any(|entry| entry.name == *name))
            .map(|name| IndexEntry { name, version: None, state: None, reason: String::new() })
            .collect::<Vec<_>>();
        let mut index = known;
        index.extend(unknown);
        index.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        index
    }

    fn load(&self, name: &str) -> Result<(), InferError> {
        self.check_control()?;
        check_name(name)?;
        let outcome = self.load_all(vec![name.to_owned()])?.remove(name);
        if let Some(Err(error)) = outcome {
            return Err(error);
        }
        let mut book = self.book.lock();
        book.mark_explicit(name);
        let dependents: Vec<String> = book.dependents(name).into_iter().collect();
        drop(book);
        // Ensembles see the new generation's tensors, or fail to and go on with the old ones; see the log.
        self.load_all(dependents)?;
        Ok(())
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
        let book = self.book.lock();
        let mut unloaded = BTreeSet::from([name.to_owned()]);
        if unload_dependents {
            unloaded.extend(book.orphans(name));
        }
        let mut names = book.dependents(name);
        drop(book);
        names.extend(unloaded.iter().cloned());
        let _held = self.busy.hold(names);
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
        tracing::info!("unloading: {}", unloaded.into_iter().collect::<Vec<_>>().join(", "));
    }

    /// Loads the models, and the members that their ensembles lack.
    ///
    /// # Errors
    /// A repository cannot be read. A model that fails is an outcome.
    pub(crate) fn load_all(&self, names: Vec<String>) -> Result<Outcomes, InferError> {
        let repositories = layout::repositories(&self.settings.paths)?;
        let planner = Planner { settings: &self.settings, repositories: &repositories, loader: &*self.loader };
        let plan = planner.plan(names, |member| self.book.lock().is_ready(member));
        let mut polled: Vec<(String, InferError)> = Vec::new();
        for (name, prepared) in &plan {
            if let Err(error) = prepared {
                polled.push((name.clone(), poll_failure(name, error)));
            }
        }
        let mut outcomes = self.execute(plan);
        outcomes.extend(polled.into_iter().map(|(name, error)| (name, Err(error))));
        Ok(outcomes)
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
    if error.kind() == ErrorKind::Internal && error.message() == text {
        return error.clone();
    }
    error.clone().prefixed(&format!("{text}: "))
}

fn check_name(name: &str) -> Result<(), InferError> {
    if name.is_empty() {
        return Err(InferError::invalid_argument("Model name cannot be empty. Please enter a valid name to deploy."));
    }
    if name.contains('/') || name.trim() == ".." {
        return Err(InferError::invalid_argument(format!(
            "invalid model name '{name}', model name must not contain path traversal characters"
        )));
    }
    Ok(())
}
