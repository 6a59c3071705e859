//! The repository itself: what it holds, how it starts and how it ends.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nereid_inference::{InferError, ModelLoader};
use nereid_sync::{ArcSwap, Mutex};

use crate::{
    ControlMode, RepositorySettings, StartReport,
    bell::Bell,
    book::{Book, Retired},
    busy::Busy,
    model_id::ModelId,
    override_files::OverrideUse,
    places::Places,
    plan::Planner,
    route::Route,
    settings::EVERY_MODEL,
    snapshot::{self, Snapshot},
    swap::Origin,
};

/// Models by name, as they are loaded, served, replaced and unloaded.
pub struct Repository {
    pub(crate) settings: RepositorySettings,
    pub(crate) loader: Arc<dyn ModelLoader>,
    pub(crate) route: ArcSwap<Route>,
    pub(crate) book: Mutex<Book>,
    pub(crate) busy: Busy,
    /// What the directories looked like when they were last followed. Held while they are, so that one poll follows
    /// another.
    pub(crate) seen: Mutex<Snapshot>,
    /// Bytes of files that clients sent.
    pub(crate) override_use: Arc<OverrideUse>,
    pub(crate) started: AtomicBool,
    pub(crate) exiting: AtomicBool,
    /// Wakes who watches new generations.
    pub(crate) swap_bell: Arc<Bell>,
    /// Whether every version is ready, or unloaded on purpose.
    pub(crate) as_wanted: AtomicBool,
}

// === impl Repository ===

impl Repository {
    /// A repository that serves nothing until it is started.
    pub fn new(settings: RepositorySettings, loader: Arc<dyn ModelLoader>) -> Arc<Self> {
        let route = Route::new(settings.has_namespaces);
        let book = Book::new(settings.limits.generations_max);
        Arc::new(Self {
            settings,
            loader,
            route: ArcSwap::new(Arc::new(route)),
            book: Mutex::new(book),
            busy: Busy::default(),
            seen: Mutex::default(),
            override_use: Arc::default(),
            started: AtomicBool::new(false),
            exiting: AtomicBool::new(false),
            swap_bell: Arc::default(),
            as_wanted: AtomicBool::new(true),
        })
    }

    /// Loads what is to be served from the start and returns when the last model is ready or has failed. Blocks the
    /// calling thread. A model that fails is a row of the report, not an error.
    ///
    /// # Errors
    /// A repository cannot be read, or the models to load are named in a way that has no meaning.
    pub fn start(&self) -> Result<StartReport, InferError> {
        let places = Places::open(&self.settings)?;
        if self.settings.control_mode == ControlMode::Poll {
            // Before anything is loaded: what is written meanwhile is found by the first poll.
            *self.seen.lock() = snapshot::take(&places)?;
        }
        let wanted = self.wanted(&places)?;
        let plan = Planner::new(&self.settings, &places, &*self.loader, wanted.clone()).plan();
        let held = self.busy.hold(plan.keys().cloned().collect());
        self.execute(plan, &[], &Origin::start());
        drop(held);
        let mut book = self.book.lock();
        wanted.iter().for_each(|id| book.mark_explicit(id));
        self.started.store(true, Ordering::Release);
        Ok(StartReport::new(book.index()))
    }

    /// From now on the server is not ready and models are neither loaded nor unloaded; those that are ready answer on.
    pub fn begin_exit(&self) {
        self.exiting.store(true, Ordering::Release);
        self.swap_bell.stop();
    }

    fn wanted(&self, places: &Places) -> Result<Vec<ModelId>, InferError> {
        let names = &self.settings.load_models;
        let every = names.iter().any(|name| name == EVERY_MODEL);
        let by_name = matches!(self.settings.control_mode, ControlMode::Explicit | ControlMode::OnDemand);
        if by_name && every && names.len() > 1 {
            return Err(InferError::invalid_argument(
                "Wildcard model name '*' must be the ONLY startup model if specified at all.",
            ));
        }
        if by_name && !every {
            let wanted: BTreeSet<ModelId> = names.iter().flat_map(|name| to_load(places, name)).collect();
            return Ok(wanted.into_iter().collect());
        }
        Ok(places.scan()?.into_keys().collect())
    }

    /// Looks who has answered the last request since the last change.
    pub(crate) fn settle(&self) {
        self.change(|_| Retired::new());
    }

    /// Changes the book and routes to what is ready then.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Book) -> Retired) {
        let mut book = self.book.lock();
        let retired = change(&mut book);
        let left = book.settle();
        let mut gone = book.gone(&retired);
        gone.extend(book.gone(&left.0));
        self.as_wanted.store(book.is_as_wanted(), Ordering::Release);
        // Swapped under the lock, so that an older route never replaces a newer one; dropped outside it.
        let old_route = self.route.swap(Arc::new(book.route(self.settings.has_namespaces)));
        drop(book);
        gone.iter().for_each(|served| served.retire());
        drop((old_route, retired, left, gone));
    }
}

impl Drop for Repository {
    /// Who watches new generations ends.
    fn drop(&mut self) {
        self.swap_bell.stop();
    }
}

/// Every model called `name`; one that does not exist when there is none, for its load to fail by name.
pub(crate) fn to_load(places: &Places, name: &str) -> BTreeSet<ModelId> {
    let called = places.called(name);
    if called.is_empty() { BTreeSet::from([ModelId::plain(name)]) } else { called }
}
