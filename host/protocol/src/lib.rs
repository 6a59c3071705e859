//! Wire structs and conversions: what travels over HTTP (JSON and binary tensors) and gRPC (protobuf), and how it becomes
//! the nouns of `nereid-inference`.
//!
//! Deliberately absent: sockets and routes.

pub mod grpc;
pub mod http;

mod classification;
mod extensions;
mod forwarding;
mod trace_settings;

#[cfg(test)]
mod test_regions;

pub use crate::{
    classification::{CLASSIFIED_ELEMENTS_MAX, ClassCounts},
    extensions::EXTENSIONS,
    forwarding::HeaderPattern,
};
