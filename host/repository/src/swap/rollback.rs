//! Back to the generation before: at once while that is warm, by loading it again when it is not.

use std::{collections::BTreeSet, sync::Arc};

use nereid_inference::{ErrorKind, GenerationState, InferError, ModelIdentity};

use crate::{
    Repository, book::Previous, control::Load, layout, model_id::ModelId, source::Source, swap::Origin, versions,
};

// === impl Repository ===

impl Repository {
    /// Serves what was served before. Blocks; the model must not be held.
    ///
    /// # Errors
    /// There is no generation before, or what it was loaded from is gone.
    pub(crate) fn roll_back_to_previous(&self, id: &ModelId, requested_by: &str) -> Result<(), InferError> {
        let why = format!("asked for by {requested_by}");
        let held = self.busy.hold(BTreeSet::from([id.clone()]));
        if self.return_to_previous(id, &why) {
            drop(held);
            self.relink_dependents(id);
            return Ok(());
        }
        let (previous, number) = {
            let book = self.book.lock();
            (book.previous(id), book.number(id))
        };
        let previous = previous.ok_or_else(|| {
            InferError::new(ErrorKind::InvalidArgument, format!(
                "model '{id}' has no generation before the one it serves; of files that were sent with a load, the last ones \
                 are kept for models with swap_guard_seconds"
            ))
        })?;
        self.check_files(id, &previous)?;
        self.book.lock().reject_served(id);
        drop(held);
        for version in &previous.versions {
            let identity = ModelIdentity::new(id.name.clone(), *version).within(id.namespace.clone());
            self.loader.forget_traffic(&identity);
        }
        let origin = Origin::request(&format!("rollback by {requested_by}"), previous.source.given.is_some());
        let load = Load::again(id, previous.source.given.clone(), origin);
        if let Some(Err(error)) = self.load_and_relink(load)?.remove(id) {
            return Err(error);
        }
        self.book.lock().note_state(id, number, GenerationState::RolledBack { reason: why });
        Ok(())
    }

    /// Flips to the generation before, when it is warm. The model must be held.
    pub(super) fn return_to_previous(&self, id: &ModelId, why: &str) -> bool {
        let mut is_done = false;
        self.change(|book| {
            let retired = book.roll_back(id, why);
            is_done = retired.is_some();
            retired.unwrap_or_default()
        });
        if is_done {
            tracing::warn!("model '{id}' was rolled back to the generation before: {why}");
            self.swap_bell.ring();
        }
        is_done
    }

    /// Ensembles see the tensors of what is served now.
    pub(super) fn relink_dependents(&self, id: &ModelId) {
        let wanted = self.book.lock().to_relink(id);
        if wanted.is_empty() {
            return;
        }
        let load = Load { relinks: true, ..Load::of(wanted, Origin::relink()) };
        if let Err(error) = self.load_and_relink(load) {
            tracing::error!("the ensembles of '{id}' are not linked to the generation before: {error}");
        }
    }

    /// What was loaded from a repository can be loaded again when it still lies there.
    fn check_files(&self, id: &ModelId, previous: &Previous) -> Result<(), InferError> {
        let Previous { number, source, versions, .. } = previous;
        if source.has_files() {
            return Ok(());
        }
        let now = Source::look(source.directory.clone(), self.settings.config_name.as_deref(), None);
        let config = source.given.as_ref().map(|given| given.config.clone());
        let config = match config {
            Some(config) => config,
            None => crate::config_file::read(&source.config_path, &id.name)?.unwrap_or_default(),
        };
        let found = layout::version_directories(&source.directory)?.versions;
        let policy = config.version_policy.as_ref().unwrap_or(&versions::DEFAULT_POLICY);
        let is_there = versions::choose(policy, &found).versions == *versions
            && versions.iter().all(|version| now.is_same_for(source, *version))
            && now.keeps_config(source);
        if is_there {
            return Ok(());
        }
        Err(InferError::invalid_argument(format!(
            "generation {number} of model '{id}' was loaded from {}, and what lies there now is something else; put its files \
             back and load the model, or push its plugin",
            source.directory.display()
        )))
    }
}

// === impl Load ===

impl Load {
    /// Of a model as it was loaded before.
    fn again(id: &ModelId, given: Option<Arc<crate::source::Given>>, origin: Origin) -> Self {
        Self { given, is_fresh: true, ..Self::of(BTreeSet::from([id.clone()]), origin) }
    }
}
