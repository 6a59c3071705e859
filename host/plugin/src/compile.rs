//! From a component's bytes to something that makes guests.
//!
//! What a file is gets said before wasmtime sees it; what was compiled is kept under a key of the bytes, the wasmtime version,
//! the engine's settings and the processor, so that a key never finds code for another engine.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use blake3::Hash as Digest;
use wasmtime::{
    Engine,
    component::{Component, InstancePre},
};

use crate::{
    bindings::exports::nereid::{plugin as exports, plugin_async as async_exports},
    contract,
    engine::PluginEngine,
    failure::PluginError,
    guest_engine::{self, Manner},
    state::PluginState,
};

/// Every WebAssembly file begins so.
const MAGIC: &[u8] = b"\0asm";

/// Version and layer of a component, after the magic.
const COMPONENT_LAYER: [u8; 4] = [0x0d, 0x00, 0x01, 0x00];

/// Version and layer of a core module, after the magic.
const MODULE_LAYER: [u8; 4] = [0x01, 0x00, 0x00, 0x00];

/// How to make a component, for those who have something else.
const ADVICE: &str = "Build one with a Nereid SDK (Rust: linker wasm-component-ld, target wasm32-unknown-unknown)";

/// A component that fits the contract, as machine code. Cloning shares it.
#[derive(Clone)]
pub struct CompiledPlugin {
    origin: Arc<str>,
    digest: Arc<str>,
    pre: InstancePre<PluginState>,
    exports: Exports,
    additional: AdditionalExports,
    calls_servers: bool,
}

/// What a component exports, and where in it.
#[derive(Clone)]
pub(crate) enum Exports {
    Transform(exports::transform::GuestIndices),
    Model(exports::model::GuestIndices),
    AsyncModel(async_exports::model::GuestIndices),
    Agent(exports::agent::GuestIndices),
    Batching(exports::batching::GuestIndices),
}

/// What it exports besides, each if it does.
#[derive(Clone)]
pub(crate) struct AdditionalExports {
    pub(crate) completion: Option<exports::completion::GuestIndices>,
    pub(crate) readiness: Option<Twin<exports::readiness::GuestIndices, async_exports::readiness::GuestIndices>>,
    pub(crate) draining: Option<Twin<exports::draining::GuestIndices, async_exports::draining::GuestIndices>>,
}

/// An export in functions that return, or in functions that await.
#[derive(Clone)]
pub(crate) enum Twin<R, A> {
    Returning(R),
    Awaiting(A),
}

/// What a plugin is built as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    /// Answers one request at a time by returning.
    Transform,
    /// Executes batches, and may answer later or more than once.
    Model,
    /// The same, and awaits several things at once.
    AsyncModel,
    /// No model: asked when models are loaded and unloaded.
    Agent,
    /// No model: asked which requests of one share a batch.
    Batching,
}

/// Feeds what wasmtime wants hashed into a cryptographic hash.
struct HashInto<'a>(&'a mut blake3::Hasher);

// === impl PluginEngine ===

impl PluginEngine {
    /// Compiles a component, or finds it compiled. `origin` is the file that errors name. May take seconds; blocks.
    ///
    /// # Errors
    /// The bytes are no component, are damaged, or do not fit the contract.
    pub fn compile(&self, origin: &str, bytes: &[u8]) -> Result<CompiledPlugin, PluginError> {
        recognise(origin, bytes)?;
        let component = self.component(origin, bytes)?;
        contract::check_imports(origin, &component)?;
        let misfit =
            |error: wasmtime::Error| PluginError::Contract { origin: origin.to_owned(), reason: causes(&error) };
        let pre = self.guest_engine_of(&component)?.linker().instantiate_pre(&component).map_err(misfit)?;
        let exports = match contract::exported(origin, &component)? {
            contract::MODEL => exports::model::GuestIndices::new(&pre).map(Exports::Model),
            contract::ASYNC_MODEL => async_exports::model::GuestIndices::new(&pre).map(Exports::AsyncModel),
            contract::AGENT => exports::agent::GuestIndices::new(&pre).map(Exports::Agent),
            contract::BATCHING => exports::batching::GuestIndices::new(&pre).map(Exports::Batching),
            _ => exports::transform::GuestIndices::new(&pre).map(Exports::Transform),
        };
        let exports = exports.map_err(misfit)?;
        let has = |interface: &str| contract::exports(&component, interface);
        let additional = AdditionalExports::of(&pre, has).map_err(misfit)?;
        if matches!(exports, Exports::Batching(_)) {
            contract::check_strategy_imports(origin, &component)?;
        }
        component.initialize_copy_on_write_image().map_err(PluginError::engine)?;
        let digest = blake3::hash(bytes).to_hex().as_str().into();
        let calls_servers = contract::calls_servers(&component);
        Ok(CompiledPlugin { origin: origin.into(), digest, pre, exports, additional, calls_servers })
    }

    pub(crate) fn component(&self, origin: &str, bytes: &[u8]) -> Result<Component, PluginError> {
        let digest = blake3::hash(bytes);
        if let Some(component) = self.recently(&digest) {
            return Ok(component);
        }
        let component = match Manner::ALL.into_iter().find_map(|manner| self.cached(&digest, manner)) {
            Some(component) => component,
            None => {
                self.compiler().compile(|| self.recently(&digest).map(Ok), || self.compiled(origin, &digest, bytes))?
            }
        };
        *self.recent().lock() = Some((digest, component.clone()));
        Ok(component)
    }

    fn recently(&self, digest: &Digest) -> Option<Component> {
        let recent = self.recent().lock();
        recent.as_ref().filter(|(recent, _)| recent == digest).map(|(_, component)| component.clone())
    }

    /// What is refused where functions return may await; if it does not, what is wrong with it is said there.
    fn compiled(&self, origin: &str, digest: &Digest, bytes: &[u8]) -> Result<Component, PluginError> {
        let (manner, artefact) = match guest_engine::compile(Manner::Returning, bytes)? {
            Ok(artefact) => (Manner::Returning, Ok(artefact)),
            Err(_) => (Manner::Awaiting, guest_engine::compile(Manner::Awaiting, bytes)?),
        };
        let artefact =
            artefact.map_err(|error| PluginError::Damaged { origin: origin.to_owned(), reason: causes(&error) })?;
        if let Some(cache) = self.cache()
            && let Err(error) = cache.store(&self.key(digest, manner), &artefact)
        {
            tracing::warn!("'{origin}' will be compiled again at the next start: {error}");
        }
        deserialize(self.guest_engine(manner)?.engine(), &artefact).map_err(PluginError::engine)
    }

    fn cached(&self, digest: &Digest, manner: Manner) -> Option<Component> {
        let artefact = self.cache()?.load(&self.key(digest, manner))?;
        let component = deserialize(self.guest_engine(manner).ok()?.engine(), &artefact);
        component.inspect_err(|error| tracing::warn!("a cached plugin is compiled again: {error:#}")).ok()
    }

    /// Names the code that the bytes of this hash compile to on the engine of that manner, which need not have been started: the settings
    /// that both have in common stand for its own.
    fn key(&self, digest: &Digest, manner: Manner) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(digest.as_bytes());
        hasher.update(&[manner as u8]);
        self.returning().engine().precompile_compatibility_hash().hash(&mut HashInto(&mut hasher));
        hasher.finalize().to_hex().to_string()
    }
}

/// Machine code that this process made, or that the cache vouches for.
#[allow(unsafe_code, reason = "wasmtime trusts the artefact")]
fn deserialize(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `artefact` was made by `guest_engine::compile` a moment ago, or came from `ArtefactCache::load`, which returns only bytes
    // whose seal holds: made, when this server wrote them, with a key that nobody but this user can read, over them and the file's name,
    // in a directory that nobody but this user can write to. The name holds the hash of the engine's settings and wasmtime's version,
    // which wasmtime checks again.
    unsafe { Component::deserialize(engine, artefact) }
}

// === impl AdditionalExports ===

impl AdditionalExports {
    fn of(pre: &InstancePre<PluginState>, has: impl Fn(&str) -> bool) -> wasmtime::Result<Self> {
        let completion = has(contract::COMPLETION).then(|| exports::completion::GuestIndices::new(pre));
        let readiness = if has(contract::ASYNC_READINESS) {
            Some(Twin::Awaiting(async_exports::readiness::GuestIndices::new(pre)?))
        } else if has(contract::READINESS) {
            Some(Twin::Returning(exports::readiness::GuestIndices::new(pre)?))
        } else {
            None
        };
        let draining = if has(contract::ASYNC_DRAINING) {
            Some(Twin::Awaiting(async_exports::draining::GuestIndices::new(pre)?))
        } else if has(contract::DRAINING) {
            Some(Twin::Returning(exports::draining::GuestIndices::new(pre)?))
        } else {
            None
        };
        Ok(Self { completion: completion.transpose()?, readiness, draining })
    }
}

// === impl PluginKind ===

impl PluginKind {
    /// The world of the contract that a plugin of this kind is built for.
    pub fn world(self) -> &'static str {
        match self {
            Self::Transform => "transform-plugin",
            Self::Model => "model-plugin",
            Self::AsyncModel => "async-model-plugin",
            Self::Agent => "agent-plugin",
            Self::Batching => "batching-plugin",
        }
    }

    /// From the interface that it exports.
    pub(crate) fn of_interface(interface: &str) -> Self {
        match interface {
            contract::MODEL => Self::Model,
            contract::ASYNC_MODEL => Self::AsyncModel,
            contract::AGENT => Self::Agent,
            contract::BATCHING => Self::Batching,
            _ => Self::Transform,
        }
    }
}

// === impl CompiledPlugin ===

impl CompiledPlugin {
    /// The file that it came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it imports what requests to other servers are made with.
    pub fn calls_servers(&self) -> bool {
        self.calls_servers
    }

    /// The BLAKE3 hash of its bytes, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes of its machine code, with the data that its memories begin with.
    pub(crate) fn code_bytes(&self) -> u64 {
        let image = self.pre.component().image_range();
        image.end.addr().saturating_sub(image.start.addr()) as u64
    }

    /// What it is built as.
    pub fn kind(&self) -> PluginKind {
        match self.exports {
            Exports::Transform(_) => PluginKind::Transform,
            Exports::Model(_) => PluginKind::Model,
            Exports::AsyncModel(_) => PluginKind::AsyncModel,
            Exports::Agent(_) => PluginKind::Agent,
            Exports::Batching(_) => PluginKind::Batching,
        }
    }

    /// Whether it says what it knows of its model's configuration.
    pub fn completes_config(&self) -> bool {
        self.additional.completion.is_some()
    }

    /// Whether it says when its instances cannot work.
    pub fn checks_readiness(&self) -> bool {
        self.additional.readiness.is_some()
    }

    /// Whether it has something to do before an instance goes.
    pub(crate) fn drains(&self) -> bool {
        self.additional.draining.is_some()
    }

    pub(crate) fn additional(&self) -> &AdditionalExports {
        &self.additional
    }

    pub(crate) fn pre(&self) -> &InstancePre<PluginState> {
        &self.pre
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }
}

// === impl HashInto ===

impl Hasher for HashInto<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.iter_mut().zip(self.0.finalize().as_bytes()).for_each(|(target, byte)| *target = *byte);
        u64::from_le_bytes(first)
    }
}

/// Says what the file is when it is not a component.
pub(crate) fn recognise(origin: &str, bytes: &[u8]) -> Result<(), PluginError> {
    let refuse = |found: &str, advice: &str| {
        let (found, advice) = (found.to_owned(), advice.to_owned());
        Err(PluginError::NotAComponent { origin: origin.to_owned(), found, advice })
    };
    let Some(layer) = bytes.strip_prefix(MAGIC) else {
        if bytes.is_empty() {
            return refuse("it is empty", "Copy the file again");
        }
        if bytes.trim_ascii_start().starts_with(b"(") {
            return refuse("it is WebAssembly text", "Translate it with wat2wasm or wasm-tools first");
        }
        let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return refuse(&format!("it begins with the bytes {}, not with 00 61 73 6d", start.join(" ")), ADVICE);
    };
    if layer.starts_with(&COMPONENT_LAYER) {
        return Ok(());
    }
    if layer.starts_with(&MODULE_LAYER) {
        return refuse("it is a core module, and a component is needed", ADVICE);
    }
    refuse("it ends, or has an unknown version, right after the first four bytes", "Copy the file again")
}

fn causes(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(|cause| cause.to_string()).collect();
    causes.join(": ")
}
