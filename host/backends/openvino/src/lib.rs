//! The backends called `openvino` and `tensorflow`: OpenVINO IR and ONNX under the one name, SavedModels under the other,
//! on the CPU.
//!
//! Invariant: nothing that OpenVINO does or lacks ends the process. A missing library, a broken file and a failing
//! execution are each an error of one model or one batch.
//!
//! Deliberately absent: linking to the library, GPUs and NPUs, and any choice of what is batched.

mod backend;
mod library;
mod settings;

mod failure;
mod ffi;

mod agree;
mod complete;
mod element_type;
mod model_file;
mod narrowed;

mod instance;

pub use crate::{backend::OpenvinoBackend, library::OpenvinoSettings};
