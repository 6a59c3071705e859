//! Memory that clients share with the server: regions by name, and what a hostile client cannot do with them.
//!
//! Invariant: a span of a region stays mapped until the last view of it is gone, whatever the client does to the name,
//! the object or its length. A client that cuts its object short fails its own requests and nothing else.
//!
//! Deliberately absent: wire formats and routes.

mod cuda;
mod error;
mod key;
mod limits;
mod lost_pages;
mod mapping;
mod region;
mod registry;
mod span;

pub use crate::{
    error::SharedMemoryError,
    limits::{SharedMemoryLimits, SharedMemorySettings},
    registry::SharedMemory,
};

#[cfg(test)]
mod tests;
