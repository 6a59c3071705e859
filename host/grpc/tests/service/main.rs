//! The frontend over a real socket, with the generated client and models that the tests play themselves.
//!
//! Nothing here sleeps: a test waits for the request that a model received, for the message that the client received,
//! or for the cancellation that a response sender reports.

// The whole program is a test, which clippy cannot see outside of the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod connections;
mod fake;
mod fixture;
mod hostile;
mod options;
mod resources;
mod shared_memory;
mod stream;
mod tls;
mod unary;
