//! The engine: one per process, shared by every plugin.
//!
//! Settings and their reasons stand in [`pooled_config`]; figures are from the measurements on wasmtime 48 (fresh guest 9 µs,
//! warm call below 2 µs).

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    component::{Component, HasSelf, Linker},
};

use crate::{
    artefact_cache::ArtefactCache, bindings::Everything, compiler::Compiler, failure::PluginError, imports,
    limits::PluginLimits, long_calls::LongCalls, reaper::Reaper, state::PluginState, ticker::Ticker,
};

/// Guests that can exist at the same time, idle ones included. Each reserves 4 GiB of addresses and no memory.
const GUESTS_MAX: u32 = 1000;

/// Tables per guest: the plugin's own, and those of the small modules that every component carries.
const TABLES_PER_GUEST: u32 = 4;

/// Core modules per guest: the plugin's and two small ones mostly; a Python plugin is linked from some forty. Only counted.
const CORE_INSTANCES_PER_GUEST: u32 = 64;

/// Memory that a slot keeps when its guest is gone. Reusing dirty pages is cheaper than asking the kernel again, and with
/// `pagemap_scan` only pages that were written are looked at.
const MEMORY_KEPT_PER_SLOT_BYTES: usize = 1 << 20;

/// Tables are small, and all of one is kept.
const TABLE_KEPT_PER_SLOT_BYTES: usize = 64 << 10;

/// The engine, what it offers to guests, and the thread that keeps its time.
#[derive(Clone)]
pub struct PluginEngine(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<PluginState>,
    ticker: Ticker,
    reaper: Reaper,
    compiler: Compiler,
    long_calls: LongCalls,
    cache: Option<ArtefactCache>,
    recent: Mutex<Option<(String, Component)>>,
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
        let engine = new_engine()?;
        let linker = new_linker(&engine).map_err(PluginError::engine)?;
        let ticker = Ticker::start(&engine).map_err(|error| PluginError::Engine(error.to_string()))?;
        let reaper = Reaper::start().map_err(|error| PluginError::Engine(error.to_string()))?;
        let cache = cache_directory.map(|directory| ArtefactCache::open(directory, key_file)).transpose()?;
        Ok(Self(Arc::new(Inner {
            engine,
            linker,
            ticker,
            reaper,
            compiler: Compiler::default(),
            long_calls: LongCalls::default(),
            cache,
            recent: Mutex::new(None),
        })))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn linker(&self) -> &Linker<PluginState> {
        &self.0.linker
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
    pub(crate) fn recent(&self) -> &Mutex<Option<(String, Component)>> {
        &self.0.recent
    }

    pub(crate) fn cache(&self) -> Option<&ArtefactCache> {
        self.0.cache.as_ref()
    }
}

/// Where the pool's address range cannot be reserved (a small `ulimit -v`), guests are allocated one by one: slower, same rules.
fn new_engine() -> Result<Engine, PluginError> {
    let pooled = Engine::new(&pooled_config());
    pooled.or_else(|error| {
        tracing::warn!("plugins start slower: the pool of sandboxes cannot be reserved: {error:#}");
        Engine::new(&base_config()).map_err(PluginError::engine)
    })
}

fn base_config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    // Fresh memory is the component's image, mapped copy-on-write.
    config.memory_init_cow(true);
    // Gives different results on different machines.
    config.wasm_relaxed_simd(false);
    config
}

fn pooled_config() -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(GUESTS_MAX);
    pool.total_core_instances(GUESTS_MAX * CORE_INSTANCES_PER_GUEST);
    pool.total_memories(GUESTS_MAX);
    pool.total_tables(GUESTS_MAX * TABLES_PER_GUEST);
    pool.total_stacks(GUESTS_MAX);
    pool.max_tables_per_module(TABLES_PER_GUEST);
    pool.table_elements(usize::try_from(PluginLimits::CEILING.table_elements_max).unwrap_or(usize::MAX));
    pool.linear_memory_keep_resident(MEMORY_KEPT_PER_SLOT_BYTES);
    pool.table_keep_resident(TABLE_KEPT_PER_SLOT_BYTES);
    // Asks the kernel (6.7 and later) which pages a guest wrote: four times quicker to replace one.
    pool.pagemap_scan(Enabled::Auto);
    let mut config = base_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn new_linker(engine: &Engine) -> wasmtime::Result<Linker<PluginState>> {
    let mut linker = Linker::new(engine);
    Everything::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    imports::wasi::add_to_linker(&mut linker)?;
    imports::http::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    imports::bulk::add_to_linker(&mut linker)?;
    imports::nn::add_to_linker(&mut linker)?;
    Ok(linker)
}
