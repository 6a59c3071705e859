//! The messages of Triton's gRPC service and of one of our own, and how they become the nouns of `nereid-inference` and back.
//!
//! Promises: the bytes of a tensor are not copied here. Raw contents are views of the received message, and a response
//! message holds the buffers of the tensors themselves. Only typed contents are rewritten, once.
//! Refuses, with `InvalidArgument` in Triton's words: contents that do not fit their tensor, reserved parameters of a
//! wrong type, shapes that overflow.
//!
//! Deliberately absent: status codes, the generated service and its codec, which are `nereid-grpc`'s.

mod contents;
mod history;
mod infer_request;
mod infer_response;
mod inputs;
mod log_settings;
mod metadata;
mod parameters;
mod repository;
mod shared_memory;
mod statistics;
mod trace_settings;
mod version;

/// The message types of package `inference`, generated from `proto/grpc_service.proto`.
#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/inference.rs"));
}

/// The message types of package `nereid`, generated from `proto/generations.proto`.
#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]
pub mod generations {
    include!(concat!(env!("OUT_DIR"), "/nereid.rs"));
}

pub use self::{
    history::encode_history,
    infer_request::{DecodedRequest, decode_infer_request},
    infer_response::{FINAL_RESPONSE_PARAMETER, RequestEcho, check_response_size, encode_infer_response},
    log_settings::{decode_log_change, encode_log_settings},
    metadata::{encode_model_metadata, encode_server_metadata},
    parameters::SEQUENCE_ID_CHARACTERS_MAX,
    repository::{decode_load_request, encode_index, unload_dependents},
    shared_memory::{
        decode_cuda_register_request, decode_register_request, encode_cuda_regions, encode_system_regions,
    },
    statistics::encode_statistics,
    trace_settings::{decode_trace_change, encode_trace_settings},
    version::parse_version,
};
