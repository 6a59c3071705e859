//! The backend called `pytorch`: TorchScript models and AOTInductor packages, on the processor and on CUDA devices.
//!
//! Invariant: nothing that LibTorch does or lacks ends the process. A missing library, a broken file and a failing
//! execution are each an error of one model or one batch.
//!
//! Deliberately absent: linking to LibTorch (`shim/` is compiled by `cargo xtask backend pytorch`), and any choice of what
//! is batched.

mod backend;
mod devices;
mod file;
mod library;
mod settings;

mod ffi;

mod element_type;
mod failure;
mod names;
mod plan;

mod input;
mod instance;

pub use crate::{backend::PytorchBackend, library::PytorchSettings};
