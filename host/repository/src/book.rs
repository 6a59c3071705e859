//! What is known of every model: the states that the index shows and the generations that the route leads to.
//!
//! The book is changed under one lock, held for as long as a map takes to change; nothing is loaded, drained or dropped
//! under it. Changes hand out the generations they replace, for the caller to drop when the lock is free: dropping the
//! last reference to a generation may take as long as its last request.

mod model;
mod swaps;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime},
};

use nereid_inference::{GenerationState, IndexEntry, InferError, ServedModel};

use self::model::{Model, Version};
pub(crate) use self::{
    model::{Previous, reason},
    swaps::Look,
};
use crate::{
    ensembles::Member, lifecycle::Event, model_id::ModelId, route::Route, source::Source, standing::Standing,
    swap::Origin,
};

/// What the loader made of each version.
pub(crate) type Loaded = Vec<(u64, Result<Made, InferError>)>;

/// A version that can be served.
pub(crate) struct Made {
    pub(crate) served: Arc<dyn ServedModel>,
    /// Loaded for this, and not what was served before.
    pub(crate) is_new: bool,
}

/// Generations that are no longer routed to.
pub(crate) type Retired = Vec<Arc<dyn ServedModel>>;

// === impl Made ===

impl Made {
    /// What was served before, perhaps with other instances.
    pub(crate) fn kept(served: Arc<dyn ServedModel>) -> Self {
        Self { served, is_new: false }
    }
}

/// Every model that was asked for.
pub(crate) struct Book {
    models: BTreeMap<ModelId, Model>,
    /// Generations remembered per model.
    history_max: usize,
}

/// A load that is over, whatever came of it.
pub(crate) struct FinishedLoad {
    pub(crate) members: BTreeSet<ModelId>,
    pub(crate) source: Arc<Source>,
    pub(crate) loaded: Loaded,
    pub(crate) origin: Origin,
    pub(crate) at: SystemTime,
    /// The same moment, for what is measured from it.
    pub(crate) now: Instant,
}

// === impl Book: changes ===

impl Book {
    /// An empty book, which remembers so many generations of each model.
    pub(crate) fn new(history_max: usize) -> Self {
        Self { models: BTreeMap::new(), history_max }
    }

    fn entry(&mut self, id: &ModelId) -> &mut Model {
        let history_max = self.history_max;
        self.models.entry(id.clone()).or_insert_with(|| Model::new(history_max))
    }

    /// The versions of a model are about to be loaded.
    pub(crate) fn begin_load(&mut self, id: &ModelId, versions: &[u64]) {
        let model = self.entry(id);
        model.failure = None;
        for version in versions {
            model.versions.entry(*version).or_insert_with(Version::new).apply(Event::LoadBegins);
        }
    }

    /// All versions, or none: when one fails, what was ready before stays ready.
    pub(crate) fn finish_load(&mut self, id: &ModelId, mut finished: FinishedLoad) -> Retired {
        let model = self.entry(id);
        let was_ready = model.is_ready();
        let error = finished.loaded.iter().find_map(|(_, result)| result.as_ref().err());
        let Some(error) = error.map(reason) else {
            model.members = std::mem::take(&mut finished.members);
            model.is_ephemeral = finished.source.is_ephemeral;
            return model.accept(finished);
        };
        let FinishedLoad { members, source, loaded, origin, at, .. } = finished;
        let versions = loaded.iter().map(|(version, _)| (*version, None)).collect();
        model.history.note((&origin, at), versions, GenerationState::Failed { reason: error.clone() });
        let retired = model.refuse(loaded);
        if was_ready {
            model.update_failure = Some(failed_update(&error));
            return retired;
        }
        model.members = members;
        if source.is_ephemeral {
            // Nothing is left to load it from.
            self.models.remove(id);
        }
        retired
    }

    /// The model cannot even be read. What is ready stays ready.
    pub(crate) fn fail(&mut self, id: &ModelId, reason: &str, (origin, at): (&Origin, SystemTime)) {
        let model = self.entry(id);
        model.history.note((origin, at), Vec::new(), GenerationState::Failed { reason: reason.to_owned() });
        if model.is_ready() {
            model.update_failure = Some(failed_update(reason));
        } else {
            model.versions.clear();
            model.failure = Some(reason.to_owned());
        }
    }

    /// The model was asked for by name.
    pub(crate) fn mark_explicit(&mut self, id: &ModelId) {
        if let Some(model) = self.models.get_mut(id) {
            model.explicit = true;
        }
    }

    /// No new requests for any version.
    pub(crate) fn unload(&mut self, id: &ModelId) -> Retired {
        let Some(model) = self.models.get_mut(id) else { return Retired::new() };
        if model.versions.is_empty() {
            self.models.remove(id);
            return Retired::new();
        }
        model.explicit = false;
        model.history.set(model.number, GenerationState::Retired);
        let mut retired: Retired =
            model.versions.values_mut().filter_map(|version| version.retire(Event::UnloadBegins)).collect();
        let before = model.source.take();
        model.leave(&retired, before);
        retired.extend(model.forget_previous());
        retired.extend(model.line.clear());
        retired
    }

    /// An ensemble cannot answer any more because one of its models is gone.
    pub(crate) fn lose_member(&mut self, id: &ModelId, reason: &str) -> Retired {
        let Some(model) = self.models.get_mut(id) else { return Retired::new() };
        let gone = || Event::MemberGone(reason.to_owned());
        model.versions.values_mut().filter_map(|version| version.retire(gone())).collect()
    }

    /// Notices the generations whose last request was answered, and whose last sequence is over. Hands out what they were, and
    /// what they were loaded from: dropping that may remove files.
    #[must_use]
    pub(crate) fn settle(&mut self) -> (Retired, Vec<Arc<Source>>) {
        for version in self.models.values_mut().flat_map(|model| model.versions.values_mut()) {
            if version.draining.as_ref().is_some_and(|generation| generation.strong_count() == 0) {
                version.draining = None;
                version.apply(Event::Drained);
            }
        }
        let (mut retired, mut left) = (Retired::new(), Vec::new());
        for model in self.models.values_mut() {
            retired.extend(model.line.settle());
            left.extend(model.leaving.extract_if(.., |(generation, _)| generation.strong_count() == 0));
        }
        // A model that was in no repository leaves no trace.
        self.models.retain(|_, model| !(model.is_ephemeral && model.is_unloaded() && model.leaving.is_empty()));
        (retired, left.into_iter().map(|(_, source)| source).collect())
    }
}

/// As the index tells it of a model that is ready.
fn failed_update(reason: &str) -> String {
    format!("the last update failed, what was served before still is: {reason}")
}

// === impl Book: questions ===

impl Book {
    /// The route to what is ready now.
    pub(crate) fn route(&self, has_namespaces: bool) -> Route {
        let mut route = Route::new(has_namespaces);
        for (id, model) in self.models.iter().filter(|(_, model)| !model.versions.is_empty()) {
            route.add(model.route(id));
            if id.namespace.is_some() && !model.is_unloaded() {
                route.add_bare_name(id.name.clone(), model.route(id));
            }
        }
        route
    }

    /// Whether strict readiness is content: every version is ready, or unloaded on purpose.
    pub(crate) fn is_as_wanted(&self) -> bool {
        self.models.values().all(|model| {
            model.failure.is_none()
                && !model.versions.is_empty()
                && model.versions.values().all(|version| version.state.is_as_wanted())
        })
    }

    /// Whether anything is known of the model.
    pub(crate) fn knows(&self, id: &ModelId) -> bool {
        self.models.contains_key(id)
    }

    /// What is served of the model, and from where; `None` when it is not loaded.
    pub(crate) fn standing(&self, id: &ModelId) -> Option<Standing> {
        let model = self.models.get(id)?;
        let source = model.source.clone()?;
        let served = model.ready().map(|(version, served)| (version, served.clone())).collect();
        let others = model.versions.values().filter(|version| version.served.is_none());
        let is_whole = model.is_ready() && others.into_iter().all(|version| version.state.is_unloaded());
        Some(Standing { source, served, is_whole, is_rolled_back: model.is_rolled_back })
    }

    /// The models of which not even the versions are known.
    pub(crate) fn unread(&self) -> Vec<ModelId> {
        self.models.iter().filter(|(_, model)| model.failure.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// What an ensemble must know of the model.
    pub(crate) fn member(&self, id: &ModelId) -> Member {
        let Some(model) = self.models.get(id) else { return Member::Absent };
        let ready: Vec<u64> = model.ready().map(|(version, _)| version).collect();
        if !ready.is_empty() {
            return Member::Ready(ready);
        }
        match model.reason() {
            Some(reason) => Member::Failed(reason.to_owned()),
            None => Member::Absent,
        }
    }

    /// The ensembles, near and far, that are made of the model and were not unloaded on purpose.
    pub(crate) fn dependents(&self, id: &ModelId) -> BTreeSet<ModelId> {
        let mut found = BTreeSet::new();
        let mut unexplored = vec![id.clone()];
        while let Some(member) = unexplored.pop() {
            for (id, model) in &self.models {
                if model.members.contains(&member) && !model.is_unloaded() && found.insert(id.clone()) {
                    unexplored.push(id.clone());
                }
            }
        }
        found
    }

    /// The ensembles to be linked anew when a model was loaded: those that are made of it, and those that call a model of
    /// its name in another namespace, which may prefer this one now.
    pub(crate) fn to_relink(&self, id: &ModelId) -> BTreeSet<ModelId> {
        let mut found = self.dependents(id);
        if id.namespace.is_some() {
            let calls = |model: &Model| model.members.iter().any(|member| member.name == id.name);
            let others = self.models.iter().filter(|(_, model)| calls(model) && !model.is_unloaded());
            found.extend(others.map(|(id, _)| id.clone()));
        }
        found
    }

    /// The models below an ensemble that nobody else needs and nobody asked for by name.
    pub(crate) fn orphans(&self, id: &ModelId) -> BTreeSet<ModelId> {
        let mut orphans = BTreeSet::from([id.clone()]);
        let mut unexplored = vec![id.clone()];
        while let Some(owner) = unexplored.pop() {
            let members = self.models.get(&owner).map(|model| model.members.clone()).unwrap_or_default();
            for member in members {
                let explicit = self.models.get(&member).is_none_or(|model| model.explicit);
                let needed = self.models.iter().any(|(id, model)| {
                    model.members.contains(&member) && !model.is_unloaded() && !orphans.contains(id)
                });
                if !explicit && !needed && orphans.insert(member.clone()) {
                    unexplored.push(member);
                }
            }
        }
        orphans.remove(id);
        orphans
    }

    /// The models called `name` that were not unloaded on purpose.
    pub(crate) fn called(&self, name: &str) -> BTreeSet<ModelId> {
        let known = self.models.iter().filter(|(id, model)| *id.name == *name && !model.is_unloaded());
        known.map(|(id, _)| id.clone()).collect()
    }

    /// The index, ordered by name and version.
    pub(crate) fn index(&self) -> Vec<(ModelId, IndexEntry)> {
        let models = self.models.iter();
        models.flat_map(|(id, model)| model.index(&id.name).into_iter().map(|entry| (id.clone(), entry))).collect()
    }
}
