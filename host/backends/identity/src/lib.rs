//! The backend called `identity`: output `i` is input `i`, by reference.
//!
//! Invariant: no tensor byte is looked at, and none is copied but to a device that an instance is on. It is the floor of what a request costs, and with a delay the
//! stand-in for a slow model.
//!
//! Deliberately absent: a model file, and threads.

mod backend;
mod instance;
mod pairs;

pub use crate::backend::IdentityBackend;
