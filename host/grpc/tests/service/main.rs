//! The frontend over a real socket, with the generated client and models that the tests play themselves.
//!
//! Nothing here sleeps: a test waits for the request that a model received, for the message that the client received,
//! or for the cancellation that a response sender reports.

mod fake;
mod fixture;
mod hostile;
mod resources;
mod stream;
mod unary;
