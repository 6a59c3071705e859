//! The backend called `fil`: tree forests on CPUs and GPUs, under the names and parameters of Triton's FIL backend.
//!
//! Invariant: a model that loads answers every request of its signature; whatever is wrong with its file or its
//! configuration is found at load, by name. No library is needed on the CPU; GPUs need CUDA's run-time compiler.
//!
//! Deliberately absent: reading forests and evaluating them on the CPU (`nereid-forest`), and any choice of what is batched.

mod backend;
mod complete;
mod model_file;
mod settings;
mod shape;

mod gpu;
mod instance;

pub use crate::backend::{FilBackend, FilSettings};
pub use nereid_forest::FILE_BYTES_MAX as FOREST_BYTES_MAX;
