//! What is known of every model: the states that the index shows and the generations that the route leads to.
//!
//! The book is changed under one lock, held for as long as a map takes to change; nothing is loaded, drained or dropped
//! under it. Changes hand out the generations they replace, for the caller to drop when the lock is free: dropping the
//! last reference to a generation may take as long as its last request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use nereid_inference::{IndexEntry, InferError, ModelState, ServedModel};

use crate::{
    ensembles::Member,
    lifecycle::{Event, VersionState},
    model_id::ModelId,
    route::{ModelRoute, Route},
    source::Source,
    standing::Standing,
};

/// What the loader made of each version.
pub(crate) type Loaded = Vec<(u64, Result<Arc<dyn ServedModel>, InferError>)>;

/// Generations that are no longer routed to.
pub(crate) type Retired = Vec<Arc<dyn ServedModel>>;

const SIBLING_FAILED: &str = "another version of the model failed to load";

/// Every model that was asked for.
#[derive(Default)]
pub(crate) struct Book {
    models: BTreeMap<ModelId, Model>,
}

#[derive(Default)]
struct Model {
    versions: BTreeMap<u64, Version>,
    /// The models that it calls, when it is an ensemble.
    members: BTreeSet<ModelId>,
    /// Why not even its versions are known.
    failure: Option<String>,
    /// Asked for by name, not only because an ensemble needs it.
    explicit: bool,
    /// In no repository: a client sent all its files.
    is_ephemeral: bool,
    /// What the generations that are served were loaded from.
    source: Option<Arc<Source>>,
    /// Generations that finish their requests, with the files that they may still read.
    leaving: Vec<(Weak<dyn ServedModel>, Arc<Source>)>,
}

/// A load that is over, whatever came of it.
pub(crate) struct FinishedLoad {
    pub(crate) members: BTreeSet<ModelId>,
    pub(crate) source: Arc<Source>,
    pub(crate) loaded: Loaded,
}

struct Version {
    state: VersionState,
    served: Option<Arc<dyn ServedModel>>,
    /// The generation that finishes its requests.
    draining: Option<Weak<dyn ServedModel>>,
}

// === impl Book: changes ===

impl Book {
    /// The versions of a model are about to be loaded.
    pub(crate) fn begin_load(&mut self, id: &ModelId, versions: &[u64]) {
        let model = self.models.entry(id.clone()).or_default();
        model.failure = None;
        for version in versions {
            model.versions.entry(*version).or_insert_with(Version::new).apply(Event::LoadBegins);
        }
    }

    /// All versions, or none: when one fails, what was ready before stays ready.
    pub(crate) fn finish_load(&mut self, id: &ModelId, finished: FinishedLoad) -> Retired {
        let FinishedLoad { members, source, loaded } = finished;
        let model = self.models.entry(id.clone()).or_default();
        let was_ready = model.is_ready();
        if loaded.iter().any(|(_, result)| result.is_err()) {
            let retired = model.refuse(loaded);
            if !was_ready {
                model.members = members;
                if source.is_ephemeral {
                    // Nothing is left to load it from.
                    self.models.remove(id);
                }
            }
            return retired;
        }
        model.members = members;
        model.is_ephemeral = source.is_ephemeral;
        let before = model.source.replace(source);
        let retired = model.accept(loaded);
        model.leave(&retired, before);
        retired
    }

    /// The model cannot even be read. What is ready stays ready.
    pub(crate) fn fail(&mut self, id: &ModelId, reason: &str) {
        let model = self.models.entry(id.clone()).or_default();
        if !model.is_ready() {
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
        let retired = model.versions.values_mut().filter_map(|version| version.retire(Event::UnloadBegins)).collect();
        let before = model.source.take();
        model.leave(&retired, before);
        retired
    }

    /// An ensemble cannot answer any more because one of its models is gone.
    pub(crate) fn lose_member(&mut self, id: &ModelId, reason: &str) -> Retired {
        let Some(model) = self.models.get_mut(id) else { return Retired::new() };
        let gone = || Event::MemberGone(reason.to_owned());
        model.versions.values_mut().filter_map(|version| version.retire(gone())).collect()
    }

    /// Notices the generations whose last request was answered. Hands out what they were loaded from: dropping that may
    /// remove files.
    #[must_use]
    pub(crate) fn settle(&mut self) -> Vec<Arc<Source>> {
        for version in self.models.values_mut().flat_map(|model| model.versions.values_mut()) {
            if version.draining.as_ref().is_some_and(|generation| generation.strong_count() == 0) {
                version.draining = None;
                version.apply(Event::Drained);
            }
        }
        let mut left = Vec::new();
        for model in self.models.values_mut() {
            left.extend(model.leaving.extract_if(.., |(generation, _)| generation.strong_count() == 0));
        }
        // A model that was in no repository leaves no trace.
        self.models.retain(|_, model| !(model.is_ephemeral && model.is_unloaded() && model.leaving.is_empty()));
        left.into_iter().map(|(_, source)| source).collect()
    }
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
        Some(Standing { source, served, is_whole })
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

// === impl Model ===

impl Model {
    fn ready(&self) -> impl Iterator<Item = (u64, &Arc<dyn ServedModel>)> {
        self.versions.iter().filter_map(|(number, version)| Some((*number, version.served.as_ref()?)))
    }

    fn is_ready(&self) -> bool {
        self.ready().next().is_some()
    }

    /// Keeps the files of generations that may still read them.
    fn leave(&mut self, retired: &Retired, source: Option<Arc<Source>>) {
        let Some(source) = source.filter(|source| source.has_files()) else { return };
        self.leaving.extend(retired.iter().map(|served| (Arc::downgrade(served), source.clone())));
    }

    fn is_unloaded(&self) -> bool {
        let gone = |version: &Version| version.state.is_unloaded() || version.state == VersionState::Unloading;
        self.failure.is_none() && self.versions.values().all(gone)
    }

    /// Why it does not answer; `None` when it was unloaded or never loaded.
    fn reason(&self) -> Option<&str> {
        if self.is_unloaded() {
            return None;
        }
        let of_version =
            |version: &Version| !version.state.reason().is_empty() && version.state.reason() != SIBLING_FAILED;
        let failed = self.versions.values().find(|version| of_version(version));
        self.failure.as_deref().or_else(|| failed.map(|version| version.state.reason()))
    }

    /// Every version loaded: the new generations take over, and versions that were not loaded go.
    fn accept(&mut self, loaded: Loaded) -> Retired {
        let mut retired = Retired::new();
        for (number, version) in &mut self.versions {
            if !loaded.iter().any(|(loaded, _)| loaded == number) {
                retired.extend(version.retire(Event::UnloadBegins));
            }
        }
        for (number, served) in loaded {
            let version = self.versions.entry(number).or_insert_with(Version::new);
            version.apply(Event::LoadSucceeds);
            version.draining = None;
            retired.extend(std::mem::replace(&mut version.served, served.ok()));
        }
        retired
    }

    /// Some version failed: the new generations are given up.
    fn refuse(&mut self, loaded: Loaded) -> Retired {
        let mut retired = Retired::new();
        for (number, result) in loaded {
            let version = self.versions.entry(number).or_insert_with(Version::new);
            let reason = match result {
                Ok(served) => {
                    retired.push(served);
                    SIBLING_FAILED.to_owned()
                }
                Err(error) => reason(&error),
            };
            version.apply(Event::LoadFails(reason));
        }
        retired
    }

    fn route(&self, id: &ModelId) -> ModelRoute {
        let others = self.versions.iter().filter(|(_, version)| version.served.is_none()).map(|(number, _)| *number);
        ModelRoute {
            title: id.to_string().into(),
            ready: self.ready().map(|(number, served)| (number, served.clone())).collect(),
            others: others.collect(),
        }
    }

    fn index(&self, name: &str) -> Vec<IndexEntry> {
        let entry = |version, state, reason: &str| IndexEntry {
            name: name.to_owned(),
            version,
            state,
            reason: reason.to_owned(),
        };
        if let Some(failure) = &self.failure {
            return vec![entry(None, Some(ModelState::Unavailable), failure)];
        }
        let versions = self.versions.iter();
        versions
            .map(|(number, version)| entry(Some(*number), Some(version.state.shown()), version.state.reason()))
            .collect()
    }
}

/// A failed load as the index tells it.
pub(crate) fn reason(error: &InferError) -> String {
    format!("{}: {}", error.kind().title(), error.message())
}

// === impl Version ===

impl Version {
    fn new() -> Self {
        Self { state: VersionState::new(), served: None, draining: None }
    }

    fn apply(&mut self, event: Event) {
        let state = std::mem::replace(&mut self.state, VersionState::Unloading);
        self.state = state.after(event);
    }

    /// Takes the generation out of the route.
    fn retire(&mut self, event: Event) -> Option<Arc<dyn ServedModel>> {
        self.apply(event);
        let served = self.served.take()?;
        self.draining = Some(Arc::downgrade(&served));
        Some(served)
    }
}
