//! The client behind `nereid infer`: arguments to tensors, one request over HTTP or gRPC, tensors to text.
//!
//! Invariant: what is sent fits what the server says about the model. Whatever does not is refused here, with the input's name,
//! what was expected and what was found, before a byte of it is sent.
//!
//! Deliberately absent: the command line itself, connections kept for other purposes, and every RPC that the commands do not
//! need. A program has `tritonclient`.

mod arguments;
mod connection;
mod connector;
mod description;
mod destination;
mod elements;
mod endpoint;
mod error;
mod files;
mod grpc;
mod http;
mod inputs;
mod latencies;
mod literal;
mod npy;
mod output;
mod parts;
mod picture;
mod repository;
mod run;
mod shapes;

pub use crate::{
    arguments::{HeaderArgument, InputArgument, ShapeArgument},
    destination::{Destination, Identity, TlsFiles},
    endpoint::Endpoint,
    error::ClientError,
    latencies::Latencies,
    parts::{RemoteModels, element_texts, inputs_of, tensor_head, tensor_text},
    picture::Scale,
    repository::{Generation, GenerationVersion, Parcel, RemoteRepository},
    run::{Call, run},
};
