//! The sandbox: compiles WebAssembly components, calls them, and limits everything that they can use.
//!
//! Invariant: no guest call is unlimited. Every call has a deadline, and every byte, handle, host call and log line that
//! a guest causes is counted against [`PluginLimits`]; it reaches nothing beyond its [`Grants`]; a guest that trapped, was stopped or was abandoned is never entered again.
//!
//! Deliberately absent: models, files of models, scheduling. What a plugin serves is told to it ([`PluginSpec`]); whom
//! it may call is a port ([`nereid_inference::ServiceHandle`]).

mod bindings;
mod convert;

mod grants;
mod http_grant;
mod http_tls;
mod limits;
mod names;

mod engine;
mod ticker;

mod artefact_cache;
mod compile;
mod compiler;
mod contract;
mod inspect;
mod seal_key;

mod breaker;
mod gate;

mod account;
mod call_report;
mod clock;
mod guest_clock;
mod guest_engine;
mod guest_life;
mod guest_log;
mod handles;
mod memory_meter;
mod sender;
mod state;
mod state_store;
mod tensor_handle;
mod tokenizer_shelf;

mod imports;

mod agent;
mod completion;
mod failure;
mod long_calls;
mod metering;
mod model_guest;
mod output;
mod plugin;
mod pool;
mod reaper;
mod sandbox;
mod seat;
mod slices;
mod strategy;

pub use crate::{
    agent::{AgentAction, AgentPlace, AgentTask, ask_agent},
    artefact_cache::{ARTEFACT_BYTES_MAX, ArtefactCache},
    breaker::BreakerSettings,
    call_report::{CallListener, CallReport},
    compile::{CompiledPlugin, PluginKind},
    completion::{ConfigDraft, TensorDraft, ask_for_completion},
    contract::CONTRACT_VERSION,
    engine::PluginEngine,
    failure::PluginError,
    grants::{Clocks, FolderGrant, Grants, ModelGrant, Secret},
    http_grant::{HttpGrant, HttpRule},
    http_tls::HttpTls,
    inspect::{ImportedInterface, Inspection, Language, Maker, Need},
    limits::PluginLimits,
    model_guest::{ModelGuest, Outcome},
    names::NamePatterns,
    plugin::{LifeSettings, Plugin, PluginSpec},
    pool::SandboxPool,
    reaper::IdleSettings,
    state_store::StateStore,
    strategy::{PluginStrategy, StrategyModel},
};
