//! The backends called `repeat` and `square`: models whose requests get no response, one, or many.
//!
//! Invariant: no thread is held, whatever the delays; when the client goes, the responses that are left are not made.
//! What clients, ensembles and operators of streaming models rely on can thus be seen without a large model.
//!
//! Deliberately absent: a model file, and computation.

mod repeat;
mod responses;
mod square;
mod tensors;

pub use crate::{repeat::RepeatBackend, square::SquareBackend};
