//! What makes guests: wasmtime's engine with its settings, and what guests are offered.
//!
//! There are two. One is for components whose functions return, which is nearly all of them; the other also knows how to await
//! (WebAssembly's component-model-async). What wasmtime does to let tasks of a guest go on side by side takes a sixth of a small
//! call's time, and of a call that it makes (benches/plugins.md); those who do not ask for it do not pay. Figures are from the
//! measurements on wasmtime 48 (fresh guest 9 µs, warm call below 2 µs).

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

use crate::{
    bindings::nereid::{plugin, plugin_async},
    failure::PluginError,
    imports,
    limits::PluginLimits,
    state::PluginState,
};

/// Guests of one manner that can exist at the same time, idle ones included. Each reserves 4 GiB of addresses and no memory.
const GUESTS_MAX: u32 = 1000;

/// Tables per guest: the plugin's own, and those of the small modules that every component carries.
const TABLES_PER_GUEST: u32 = 4;

/// Core modules per guest: the plugin's and two small ones mostly; a Python plugin is linked from some forty. Only counted.
const CORE_INSTANCES_PER_GUEST: u32 = 64;

/// Memory that a slot keeps when its guest is gone. Reusing dirty pages is cheaper than asking the kernel again, and with
/// `pagemap_scan` only pages that were written are looked at. A fresh guest of Go costs 1.5 times as much where nothing is kept, 1.2 times
/// with half of this, and no less with twice as much; of JavaScript 2.0 and 1.0 times, of Rust 1.2 and 1.0.
const MEMORY_KEPT_PER_SLOT_BYTES: usize = 512 << 10;

/// Slots whose guest is gone that keep it, those of replaced plugins too: with the memory above, what all of them cost at most.
const UNUSED_SLOTS_KEPT_MAX: u32 = 32;

/// Tables are small, and all of one is kept.
const TABLE_KEPT_PER_SLOT_BYTES: usize = 64 << 10;

/// How the functions of a component come to their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// They return.
    Returning,
    /// Some are tasks that await, or await the host's.
    Awaiting,
}

/// The engine of one manner, and what it offers.
pub(crate) struct GuestEngine {
    engine: Engine,
    linker: Linker<PluginState>,
}

/// Adds these interfaces to a linker.
macro_rules! offer {
    ($linker:expr, $package:ident: $($interface:ident)+) => {
        $($package::$interface::add_to_linker::<_, HasSelf<_>>($linker, |state: &mut PluginState| state)?;)+
    };
}

// === impl Manner ===

impl Manner {
    pub(crate) const ALL: [Self; 2] = [Self::Returning, Self::Awaiting];
}

// === impl GuestEngine ===

impl GuestEngine {
    /// # Errors
    /// The machine cannot run it.
    pub(crate) fn start(manner: Manner) -> Result<Self, PluginError> {
        let engine = new_engine(manner)?;
        let linker = new_linker(&engine, manner).map_err(PluginError::engine)?;
        Ok(Self { engine, linker })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<PluginState> {
        &self.linker
    }
}

/// Machine code of a component, for the engine of that manner. It is made by an engine of its own: as long as an engine lives, wasmtime
/// keeps what each thread that compiled for it needed for the largest function, 60 MiB after one of Python's. The inner error is the
/// component's.
///
/// # Errors
/// The machine cannot run the engine.
pub(crate) fn compile(manner: Manner, bytes: &[u8]) -> Result<wasmtime::Result<Vec<u8>>, PluginError> {
    let engine = Engine::new(&base_config(manner)).map_err(PluginError::engine)?;
    Ok(engine.precompile_component(bytes))
}

/// Where the pool's address range cannot be reserved (a small `ulimit -v`), guests are allocated one by one: slower, same rules.
fn new_engine(manner: Manner) -> Result<Engine, PluginError> {
    let pooled = Engine::new(&pooled_config(manner));
    pooled.or_else(|error| {
        tracing::warn!("plugins start slower: the pool of sandboxes cannot be reserved: {error:#}");
        Engine::new(&base_config(manner)).map_err(PluginError::engine)
    })
}

fn base_config(manner: Manner) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    // Fresh memory is the component's image, mapped copy-on-write.
    config.memory_init_cow(true);
    // Gives different results on different machines.
    config.wasm_relaxed_simd(false);
    if manner == Manner::Returning {
        // Refuses what awaits, and calls without the bookkeeping of tasks.
        config.wasm_component_model_async(false);
        config.concurrency_support(false);
    }
    config
}

fn pooled_config(manner: Manner) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(GUESTS_MAX);
    pool.total_core_instances(GUESTS_MAX * CORE_INSTANCES_PER_GUEST);
    pool.total_memories(GUESTS_MAX);
    pool.total_tables(GUESTS_MAX * TABLES_PER_GUEST);
    pool.total_stacks(GUESTS_MAX);
    pool.max_tables_per_module(TABLES_PER_GUEST);
    pool.table_elements(usize::try_from(PluginLimits::CEILING.table_elements_max).unwrap_or(usize::MAX));
    pool.max_unused_warm_slots(UNUSED_SLOTS_KEPT_MAX);
    pool.linear_memory_keep_resident(MEMORY_KEPT_PER_SLOT_BYTES);
    pool.table_keep_resident(TABLE_KEPT_PER_SLOT_BYTES);
    // Asks the kernel (6.7 and later) which pages a guest wrote: four times quicker to replace one.
    pool.pagemap_scan(Enabled::Auto);
    let mut config = base_config(manner);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn new_linker(engine: &Engine, manner: Manner) -> wasmtime::Result<Linker<PluginState>> {
    let mut linker = Linker::new(engine);
    offer!(&mut linker, plugin:
        control files http inference logging metrics operations secrets serving settings state tensors tokenizers tracing types);
    if manner == Manner::Awaiting {
        offer!(&mut linker, plugin_async: inference sending);
    }
    imports::wasi::add_to_linker(&mut linker)?;
    imports::http::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    imports::bulk::add_to_linker(&mut linker)?;
    imports::nn::add_to_linker(&mut linker)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

    use super::*;
    use crate::contract::{ASYNC_PACKAGE, CONTRACT_VERSION, OFFERED, OFFERED_ASYNC, PACKAGE};

    /// A component that imports all of an interface, as it stands in `wit/`.
    fn importing(package: &str, interface: &str) -> Vec<u8> {
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
        let mut resolve = Resolve::default();
        resolve.push_path(wit).unwrap();
        resolve.push_path(format!("{wit}/async")).unwrap();
        let world = format!("package t:t; world w {{ import {package}/{interface}@{CONTRACT_VERSION}; }}");
        let package = resolve.push_str("w.wit", &world).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
    }

    #[test]
    fn each_manner_has_what_the_contract_offers_it() {
        for manner in Manner::ALL {
            let guests = GuestEngine::start(manner).unwrap();
            let accepts = |package, interface| {
                let component = Component::new(guests.engine(), importing(package, interface))?;
                guests.linker().instantiate_pre(&component).map(|_| ())
            };
            for interface in OFFERED {
                accepts(PACKAGE, interface).unwrap_or_else(|error| panic!("{manner:?}, {interface}: {error:#}"));
            }
            assert!(accepts(PACKAGE, "transform").is_err(), "exported by plugins, and offered by nobody");
            for interface in OFFERED_ASYNC {
                assert_eq!(accepts(ASYNC_PACKAGE, interface).is_ok(), manner == Manner::Awaiting, "{interface}");
            }
        }
    }
}
