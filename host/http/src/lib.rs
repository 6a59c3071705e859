//! The HTTP frontend: the KServe v2 / Triton routes over [`InferenceService`](nereid_inference::InferenceService) and
//! [`ModelControl`](nereid_inference::ModelControl).
//!
//! Invariant: a client that goes away drops its request's future, which drops the response stream, which cancels the
//! request. Nothing here holds a request after its connection.
//!
//! Deliberately absent: wire formats (`nereid-protocol`), who may ask for what (`nereid-access`), and anything that the gRPC frontend needs too.

mod access;
mod blocking;
mod body;
mod compression;
mod config;
mod decisions;
mod diagnostics;
mod error;
mod frame_body;
mod generate;
mod generations;
mod health;
mod infer;
mod limits;
mod load_metrics;
mod metadata;
mod model_path;
mod refusal;
mod repository;
mod routes;
mod server;
mod settings;
mod shared_memory;
mod statistics;
mod trace;

pub use crate::{
    access::denied,
    compression::{Coding, Unpacked, decompress},
    frame_body::FrameBody,
    limits::HttpLimits,
    routes::router,
    server::serve,
    settings::{HttpFrontend, HttpSettings, MetricsPage},
};

#[cfg(test)]
mod tests;
