//! Request traces: which requests are traced, what is recorded of them, and where that goes.
//!
//! Promises: a request that is not traced costs one atomic load. One that is traced appends to a list of its own; text and
//! spans are made, and files and collectors waited for, by threads of their own. When those cannot follow, whole traces are
//! left out, and the log says how many: a trace never makes a request wait.

mod clock;
mod export;
mod files;
mod json;
mod options;
mod recording;
mod scopes;
mod setting;
mod spans;
mod traces;
mod writer;

pub use self::{
    options::{OpenTelemetryOptions, TraceError, TraceOptions},
    traces::Traces,
};

#[cfg(test)]
mod tests;
