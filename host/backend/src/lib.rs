//! The seam that every backend implements: load a version once, make an instance per place, execute a batch per call.
//!
//! Invariant: every request of a [`Batch`] is answered exactly once, whatever a backend does or forgets.
//!
//! Deliberately absent: any concrete backend, and scheduling.

mod assemble;
mod batch;
mod batch_forms;
mod library_search;
mod placement;
mod seam;

pub mod contract;
pub mod fake;

pub use crate::{
    assemble::{Parts, gather, gather_flat, scatter},
    batch::{Batch, FinishedRequest, Step, Timeline},
    batch_forms::{BatchForms, BatchTensor, OutputCut},
    library_search::LibrarySearch,
    placement::{execute_blocking, execute_task},
    seam::{Backend, BlockingInstance, ExecuteFuture, Instance, InstanceSpec, LoadedModel, TaskInstance},
};
