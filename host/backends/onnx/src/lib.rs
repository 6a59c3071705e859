//! The backend called `onnxruntime`: ONNX models on processors and on GPUs.
//!
//! Invariant: nothing that ONNX Runtime does or lacks ends the process. A missing library, a broken file and a failing
//! run are each an error of one model or one batch.
//!
//! Deliberately absent: linking to the library, and any choice of what is batched.

mod backend;
mod library;
mod memory;
mod options;
mod place;
mod providers;
mod shrinkage;

mod agree;
mod complete;
mod element_type;
mod model_file;

mod binding;
mod device;
mod input;
mod instance;
mod iterate;
mod model;
mod output;
mod plan;
mod run;
mod value;

pub use crate::{backend::OnnxBackend, library::OnnxSettings};
