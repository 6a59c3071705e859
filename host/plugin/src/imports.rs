//! What the host offers to guests: one file per interface of `wit/`, listed here; and WASI.

pub(crate) mod awaited;
pub(crate) mod bulk;
pub(crate) mod control;
mod elsewhere;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod inference;
pub(crate) mod logging;
pub(crate) mod metrics;
pub(crate) mod nn;
pub(crate) mod operations;
pub(crate) mod secrets;
pub(crate) mod sender;
pub(crate) mod serving;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod tensors;
pub(crate) mod tracing;
pub(crate) mod types;
pub(crate) mod wasi;
