//! One model in the book: its versions, what they were loaded from, and what was served before.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Weak},
    time::Instant,
};

use nereid_inference::{GenerationState, IndexEntry, InferError, ModelConfig, ModelState, ServedModel, Tally};

use crate::{
    book::{FinishedLoad, Loaded, Retired},
    lifecycle::{Event, VersionState},
    model_id::ModelId,
    route::ModelRoute,
    source::Source,
    swap::{History, Line, SwapGuard},
};

const SIBLING_FAILED: &str = "another version of the model failed to load";

/// Rolled back files that are remembered per model: as many as anybody tries in a row.
const REJECTED_MAX: usize = 16;

pub(super) struct Model {
    pub(super) versions: BTreeMap<u64, Version>,
    /// The models that it calls, when it is an ensemble.
    pub(super) members: BTreeSet<ModelId>,
    /// Why not even its versions are known.
    pub(super) failure: Option<String>,
    /// Why the last change of a model that is ready came to nothing.
    pub(super) update_failure: Option<String>,
    /// Asked for by name, not only because an ensemble needs it.
    pub(super) explicit: bool,
    /// In no repository: a client sent all its files.
    pub(super) is_ephemeral: bool,
    /// What the generations that are served were loaded from.
    pub(super) source: Option<Arc<Source>>,
    /// Generations that finish their requests, with the files that they may still read.
    pub(super) leaving: Vec<(Weak<dyn ServedModel>, Arc<Source>)>,
    pub(super) line: Arc<Line>,
    pub(super) history: History,
    /// The number of the generation that is served.
    pub(super) number: u64,
    pub(super) previous: Option<Previous>,
    pub(super) watch: Option<Watch>,
    /// What is served was served before: what lies in its place in the repository is not what it was loaded from.
    pub(super) is_rolled_back: bool,
    /// What was rolled back: the file of a version, and the configuration.
    pub(super) rejected: VecDeque<(String, ModelConfig)>,
}

pub(super) struct Version {
    pub(super) state: VersionState,
    pub(super) served: Option<Served>,
    /// The generation that finishes its requests.
    pub(super) draining: Option<Weak<dyn ServedModel>>,
}

pub(super) struct Served {
    pub(super) model: Arc<dyn ServedModel>,
    /// What the route leads to.
    pub(super) door: Arc<dyn ServedModel>,
}

/// What was served before what is served now.
#[derive(Clone)]
pub(crate) struct Previous {
    pub(crate) number: u64,
    pub(crate) source: Arc<Source>,
    pub(crate) versions: Vec<u64>,
    /// As they were; empty once the guard's window is over, or when there was none.
    pub(super) warm: Vec<(u64, Arc<dyn ServedModel>)>,
}

/// What is served now is watched.
pub(super) struct Watch {
    pub(super) guard: SwapGuard,
    pub(super) fresh: Vec<Arc<dyn ServedModel>>,
}

// === impl Model ===

impl Model {
    pub(super) fn new(history_max: usize) -> Self {
        Self {
            versions: BTreeMap::new(),
            members: BTreeSet::new(),
            failure: None,
            update_failure: None,
            explicit: false,
            is_ephemeral: false,
            source: None,
            leaving: Vec::new(),
            line: Line::new(),
            history: History::new(history_max),
            number: 0,
            previous: None,
            watch: None,
            is_rolled_back: false,
            rejected: VecDeque::new(),
        }
    }

    pub(super) fn ready(&self) -> impl Iterator<Item = (u64, &Arc<dyn ServedModel>)> {
        self.versions.iter().filter_map(|(number, version)| Some((*number, &version.served.as_ref()?.model)))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready().next().is_some()
    }

    /// Keeps the files of generations that may still read them.
    pub(super) fn leave(&mut self, retired: &Retired, source: Option<Arc<Source>>) {
        let Some(source) = source.filter(|source| source.has_files() || source.agents.is_some()) else { return };
        self.leaving.extend(retired.iter().map(|served| (Arc::downgrade(served), source.clone())));
    }

    pub(super) fn is_unloaded(&self) -> bool {
        let gone = |version: &Version| version.state.is_unloaded() || version.state == VersionState::Unloading;
        self.failure.is_none() && self.versions.values().all(gone)
    }

    /// Why it does not answer; `None` when it was unloaded or never loaded.
    pub(super) fn reason(&self) -> Option<&str> {
        if self.is_unloaded() {
            return None;
        }
        let of_version =
            |version: &Version| !version.state.reason().is_empty() && version.state.reason() != SIBLING_FAILED;
        let failed = self.versions.values().find(|version| of_version(version));
        self.failure.as_deref().or_else(|| failed.map(|version| version.state.reason()))
    }

    /// Every version loaded: the new generations take over, and versions that were not loaded go. Hands out those that left.
    pub(super) fn accept(&mut self, finished: FinishedLoad) -> Retired {
        let FinishedLoad { source, loaded, origin, at, now, .. } = finished;
        let before: Vec<_> = self.ready().map(|(number, served)| (number, served.clone())).collect();
        let versions = loaded.iter().filter_map(|(number, made)| Some((*number, &made.as_ref().ok()?.served)));
        let described = versions.map(|(number, served)| (number, digest(served))).collect();
        let mut fresh = Vec::new();
        let mut replaced = Retired::new();
        for (number, version) in &mut self.versions {
            if !loaded.iter().any(|(loaded, _)| loaded == number) {
                replaced.extend(version.retire(Event::UnloadBegins));
            }
        }
        for (number, made) in loaded.into_iter().filter_map(|(number, made)| Some((number, made.ok()?))) {
            let version = self.versions.entry(number).or_insert_with(Version::new);
            let old = version.serve(made.served.clone(), &self.line);
            if made.is_new {
                replaced.extend(old);
                fresh.push(made.served);
            }
        }
        self.update_failure = None;
        let source_before = self.source.replace(source);
        self.leave(&replaced, source_before.clone());
        let mut retired = self.line.turn_over(self.ready().map(|(_, served)| served.clone()).collect(), &replaced);
        if !fresh.is_empty() {
            self.is_rolled_back = false;
            retired.extend(self.begin_generation(fresh, &replaced, now));
            let state = if self.watch.is_some() { GenerationState::Watched } else { GenerationState::Serving };
            let number = self.history.note((&origin, at), described, state);
            self.history.set(self.number, GenerationState::Retired);
            // Files that a client sent take room: they stay for models that are watched alone.
            let may_stay = |source: &Arc<Source>| self.watch.is_some() || !source.has_files();
            if let Some(source) = source_before.filter(|source| !before.is_empty() && may_stay(source)) {
                let versions = before.iter().map(|(number, _)| *number).collect();
                let warm = if self.watch.is_some() { before } else { Vec::new() };
                self.previous = Some(Previous { number: self.number, source, versions, warm });
            }
            self.number = number;
        }
        retired.extend(replaced);
        retired
    }

    /// Watches the new generation, when it asks for that and there is one to go back to. Hands out what was kept for the
    /// one before.
    fn begin_generation(&mut self, fresh: Vec<Arc<dyn ServedModel>>, replaced: &Retired, now: Instant) -> Retired {
        let previous = self.previous.take();
        let settings = fresh.iter().find_map(|served| served.generation()?.guard());
        let settings = settings.filter(|_| !replaced.is_empty());
        self.watch = settings.map(|settings| {
            let guard = SwapGuard::new(settings, tally(replaced, now), now);
            Watch { guard, fresh }
        });
        previous.map(|previous| previous.warm.into_iter().map(|(_, served)| served).collect()).unwrap_or_default()
    }

    /// Some version failed: the new generations are given up.
    pub(super) fn refuse(&mut self, loaded: Loaded) -> Retired {
        let mut retired = Retired::new();
        for (number, result) in loaded {
            let version = self.versions.entry(number).or_insert_with(Version::new);
            let reason = match result {
                Ok(made) => {
                    retired.push(made.served);
                    SIBLING_FAILED.to_owned()
                }
                Err(error) => reason(&error),
            };
            version.apply(Event::LoadFails(reason));
        }
        retired
    }

    /// What is served is not to be loaded again because its files are touched.
    pub(super) fn reject(&mut self, models: &[Arc<dyn ServedModel>]) {
        for served in models {
            let Some(digest) = digest(served) else { continue };
            if self.rejected.len() >= REJECTED_MAX {
                self.rejected.pop_front();
            }
            self.rejected.push_back((digest, served.config().clone()));
        }
    }

    pub(super) fn route(&self, id: &ModelId) -> ModelRoute {
        let others = self.versions.iter().filter(|(_, version)| version.served.is_none()).map(|(number, _)| *number);
        let ready = self.versions.iter().filter_map(|(number, version)| Some((*number, version.served.as_ref()?)));
        ModelRoute {
            title: id.to_string().into(),
            ready: ready.map(|(number, served)| (number, served.door.clone())).collect(),
            others: others.collect(),
        }
    }

    pub(super) fn index(&self, name: &str) -> Vec<IndexEntry> {
        let entry = |version, state, reason: &str| IndexEntry {
            name: name.to_owned(),
            version,
            state,
            reason: reason.to_owned(),
        };
        if let Some(failure) = &self.failure {
            return vec![entry(None, Some(ModelState::Unavailable), failure)];
        }
        let reason = |version: &Version| match (&version.served, &self.update_failure) {
            (Some(_), Some(failure)) => failure.clone(),
            _ => version.state.reason().to_owned(),
        };
        let versions = self.versions.iter();
        versions.map(|(number, version)| entry(Some(*number), Some(version.state.shown()), &reason(version))).collect()
    }
}

/// The file of a version, where that is known.
fn digest(served: &Arc<dyn ServedModel>) -> Option<String> {
    served.generation()?.digest().map(str::to_owned)
}

/// What came of the requests of these generations of late.
pub(super) fn tally(models: &[Arc<dyn ServedModel>], now: Instant) -> Tally {
    let mut sum = Tally::default();
    let recent = models.iter().filter_map(|served| Some(served.generation()?.recent(now)));
    recent.for_each(|recent| sum.add(&recent));
    sum
}

/// A failed load as the index tells it.
pub(crate) fn reason(error: &InferError) -> String {
    format!("{}: {}", error.kind().title(), error.message())
}

// === impl Version ===

impl Version {
    pub(super) fn new() -> Self {
        Self { state: VersionState::new(), served: None, draining: None }
    }

    pub(super) fn apply(&mut self, event: Event) {
        let state = std::mem::replace(&mut self.state, VersionState::Unloading);
        self.state = state.after(event);
    }

    /// Serves this generation; returns the one that it did before.
    pub(super) fn serve(&mut self, model: Arc<dyn ServedModel>, line: &Line) -> Option<Arc<dyn ServedModel>> {
        self.apply(Event::LoadSucceeds);
        self.draining = None;
        if self.served.as_ref().is_some_and(|served| Arc::ptr_eq(&served.model, &model)) {
            return None;
        }
        let door = line.door(&model);
        self.served.replace(Served { model, door }).map(|before| before.model)
    }

    /// Takes the generation out of the route.
    pub(super) fn retire(&mut self, event: Event) -> Option<Arc<dyn ServedModel>> {
        self.apply(event);
        let served = self.served.take()?.model;
        self.draining = Some(Arc::downgrade(&served));
        Some(served)
    }
}
