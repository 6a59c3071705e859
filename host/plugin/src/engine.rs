//! The engine: one per process, shared by every plugin.
//!
//! What makes guests, with its settings and their reasons, is in `guest_engine`.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use wasmtime::{Engine, component::Component};

use crate::{
    artefact_cache::ArtefactCache,
    compiler::Compiler,
    failure::PluginError,
    guest_engine::{GuestEngine, Manner},
    long_calls::LongCalls,
    reaper::Reaper,
    ticker::Ticker,
};

/// What makes guests, and the thread that keeps their time.
#[derive(Clone)]
pub struct PluginEngine(Arc<Inner>);

struct Inner {
    returning: GuestEngine,
    /// Started when the first component comes that awaits.
    awaiting: OnceLock<GuestEngine>,
    ticker: Ticker,
    reaper: Reaper,
    compiler: Compiler,
    long_calls: LongCalls,
    cache: Option<ArtefactCache>,
    recent: Mutex<Option<(blake3::Hash, Component)>>,
}

// === impl PluginEngine ===

impl PluginEngine {
    /// Starts the engine. Compiled plugins are kept in `cache_directory` when there is one.
    ///
    /// # Errors
    /// The machine cannot run it, or the cache directory cannot be used.
    pub fn start(cache_directory: Option<PathBuf>) -> Result<Self, PluginError> {
        Self::start_with_key(cache_directory, None)
    }

    /// The same, with the cache's key in this file instead of beside the directory.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_with_key(cache_directory: Option<PathBuf>, key_file: Option<PathBuf>) -> Result<Self, PluginError> {
        let returning = GuestEngine::start(Manner::Returning)?;
        let ticker = Ticker::start(returning.engine()).map_err(|error| PluginError::Engine(error.to_string()))?;
        let reaper = Reaper::start().map_err(|error| PluginError::Engine(error.to_string()))?;
        let cache = cache_directory.map(|directory| ArtefactCache::open(directory, key_file)).transpose()?;
        Ok(Self(Arc::new(Inner {
            returning,
            awaiting: OnceLock::new(),
            ticker,
            reaper,
            compiler: Compiler::default(),
            long_calls: LongCalls::default(),
            cache,
            recent: Mutex::new(None),
        })))
    }

    /// The engine for components whose functions return.
    pub(crate) fn returning(&self) -> &GuestEngine {
        &self.0.returning
    }

    /// The engine for components of this manner.
    ///
    /// # Errors
    /// It is the first one's turn to be started, and the machine cannot run it.
    pub(crate) fn guest_engine(&self, manner: Manner) -> Result<&GuestEngine, PluginError> {
        match (manner, self.0.awaiting.get()) {
            (Manner::Returning, _) => Ok(&self.0.returning),
            (Manner::Awaiting, Some(awaiting)) => Ok(awaiting),
            (Manner::Awaiting, None) => {
                let started = GuestEngine::start(Manner::Awaiting)?;
                Ok(self.0.awaiting.get_or_init(|| {
                    self.ticker().also(started.engine());
                    started
                }))
            }
        }
    }

    /// The engine that compiled this component.
    pub(crate) fn guest_engine_of(&self, component: &Component) -> Result<&GuestEngine, PluginError> {
        let returns = Engine::same(component.engine(), self.0.returning.engine());
        self.guest_engine(if returns { Manner::Returning } else { Manner::Awaiting })
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(crate) fn reaper(&self) -> &Reaper {
        &self.0.reaper
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.0.compiler
    }

    /// Where calls go on that take long.
    pub(crate) fn long_calls(&self) -> &LongCalls {
        &self.0.long_calls
    }

    /// What was compiled last: a model's configuration is completed, and then the model is loaded, from the same bytes.
    pub(crate) fn recent(&self) -> &Mutex<Option<(blake3::Hash, Component)>> {
        &self.0.recent
    }

    pub(crate) fn cache(&self) -> Option<&ArtefactCache> {
        self.0.cache.as_ref()
    }
}
