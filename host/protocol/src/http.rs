//! HTTP bodies: JSON with tensors in it, JSON followed by binary tensors, and the JSON of every other resource.
//!
//! Promises: `data` is parsed straight into typed memory, binary tensors are views of the received body, and no generic
//! JSON tree is ever built. Error texts and kinds are those of Triton's HTTP server, because clients match on them.
//! A body never makes this code panic, and never makes it allocate more than a small multiple of its own length.

mod control;
mod decisions;
mod elements;
mod generate;
mod generate_response;
mod header_length;
mod history;
mod load_metrics;
mod log_settings;
mod metadata;
mod numbers;
mod outputs;
mod raw_request;
mod request;
mod response;
mod scalar;
mod shared_memory;
mod statistics;
mod trace_settings;
mod wire;

pub use self::{
    control::{decode_index_request, decode_load_request, decode_unload_request},
    decisions::encode_decisions,
    elements::NESTING_MAX as JSON_NESTING_MAX,
    generate::decode_generate_request,
    generate_response::{encode_event, encode_generate_response},
    header_length::{HeaderLength, INFERENCE_HEADER_CONTENT_LENGTH},
    history::encode_history,
    load_metrics::{LOAD_METRICS, LOAD_METRICS_FORMAT, LoadFormat, encode_load_metrics},
    log_settings::{decode_log_change, encode_log_settings},
    metadata::{
        ServerIdentity, encode_config, encode_error, encode_index, encode_model_metadata, encode_server_metadata,
    },
    outputs::OutputFormats,
    raw_request::decode_raw_infer_request,
    request::{DecodedRequest, InferBody, RequestContext, decode_infer_request},
    response::{EncodedResponse, ResponseContext, encode_infer_response},
    scalar::PARAMETERS_MAX,
    shared_memory::{
        decode_cuda_register_request, decode_register_request, encode_cuda_regions, encode_system_regions,
    },
    statistics::encode_statistics,
    trace_settings::{decode_trace_change, encode_trace_settings},
};

#[cfg(test)]
mod tests;
