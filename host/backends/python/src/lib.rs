//! The backend `python`: Triton's `model.py`, unchanged, each instance in a process of its own.
//!
//! Invariant: whatever a model does to its process, its own requests fail with a readable text and the server goes on; no
//! process outlives its instance or the server.
//!
//! Deliberately absent: a link to libpython, `unsafe`, and anything that knows of other models: a model calls them through
//! the service that the backend is given. The Python side lies in `runner`.

mod backend;
mod backoff;
mod channel;
mod context;
mod desk;
mod desk_calls;
mod desk_offers;
mod execution_environment;
mod files_allowed;
mod foreign_frame;
mod frame;
mod instance;
mod launch;
mod launcher;
mod limits;
mod log_lines;
mod messages;
mod payload;
mod process;
mod runner;
mod settings;
mod shared_code;
mod slots;
mod spin;
mod supervisor;
mod syscalls_denied;

pub use crate::{
    backend::{PythonBackend, PythonPorts},
    foreign_frame::read_foreign_frame,
    launcher::{LAUNCH_VERB, launch},
    limits::PythonLimits,
    settings::{Confinement, PythonSettings, SETTINGS},
};
