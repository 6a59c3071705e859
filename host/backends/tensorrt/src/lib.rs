//! The backend called `tensorrt`: engine files on GPUs, through TensorRT.
//!
//! Invariant: nothing that TensorRT lacks ends the process. It is not asked for anything before there is a driver and a
//! device, because it does not survive the lack of one; a missing library, a plan of another version and a failing
//! execution are each an error of one model or one batch.
//!
//! Deliberately absent: linking to the library, building engines, processors, and any choice of what is batched.

mod backend;
mod library;

mod graph_shapes;
mod padding;
mod plan_file;
mod profiles;
mod tensors;

mod ffi;
mod graphs;
mod instance;
mod model;

pub use crate::{backend::TensorrtBackend, library::TensorrtSettings};
