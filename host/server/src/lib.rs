//! The command line, and the assembly of a running server.
//!
//! Invariant: every other crate is put together here and nowhere else; what the operator said on the command line
//! reaches it as plain settings.
//!
//! Deliberately absent: behaviour that a request can see.

pub mod arguments;

mod access;
mod backends;
mod check;
mod error;
mod gpus;
mod host;
mod infer;
mod limits;
mod memory_budget;
mod metrics_service;
mod operator_file;
mod operator_rules;
mod plugin;
mod polling;
mod response_cache;
mod run;
mod runtime_folders;
mod serve;
mod services;
mod signals;
mod sockets;
mod summary;
mod table;

pub use crate::{limits::Limits, run::run};
