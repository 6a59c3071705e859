//! The backend `wasm`: models whose file is a WebAssembly component.
//!
//! Invariant: whatever a component does, its request gets an answer and its model goes on.
//!
//! Deliberately absent: the sandbox itself and its `unsafe` (`nereid-plugin`), and anything that knows of other models: a
//! plugin calls them through the service it is given.

mod agents;
mod backend;
mod complete;
mod model;

mod life_settings;
mod limits_table;
mod plugin_file;
mod policy;
mod scratch;
mod strategies;

pub use crate::{
    agents::WasmAgents,
    backend::{PluginPorts, PluginSettings, WasmBackend},
    limits_table::LimitsTable,
    plugin_file::{PLUGIN_FILE_BYTES_MAX, read_text},
    policy::{AllowedFolder, Ceiling, PluginPolicy, SecretSource, SharedPolicy, TenantPlugins},
    strategies::WasmStrategies,
};
