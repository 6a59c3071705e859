//! The gRPC frontend: Triton's `inference.GRPCInferenceService`, our `nereid.ModelGenerations` and `grpc.health.v1.Health` over the
//! ports of `nereid-inference`.
//!
//! Promises: every RPC ends with an answer or a status, whatever the models or the clients do; a panic answers the
//! request that met it; a client that goes away cancels what it asked for.
//! Invariant: no state of its own. All that outlives a request lies behind the ports.
//!
//! Deliberately absent: what messages mean, which is `nereid-protocol`'s, who may ask for what (`nereid-access`), and every decision about models.

mod access;
mod codec;
mod connections;
mod deadline;
mod diagnostics;
mod error;
mod forwarding;
mod frontend;
mod generations;
mod greeting;
mod health;
mod incoming;
mod infer;
mod limits;
mod metadata;
mod panic;
mod pending;
mod reflection;
mod repository;
mod rpcs;
mod server;
mod service;
mod settings;
mod shared_memory;
mod statistics;
mod stream;
mod trace;

/// The generated trait of the service, and a client of it.
#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/inference.rs"));
}

/// The generated trait of Nereid's own service, and a client of it.
#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]
pub mod generated_generations {
    include!(concat!(env!("OUT_DIR"), "/nereid.rs"));
}

pub use crate::{
    frontend::GrpcFrontend,
    limits::GrpcLimits,
    server::serve,
    settings::{ConnectionSettings, GrpcSettings},
};
