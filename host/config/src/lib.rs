//! Model configurations as they are written: text format (`config.pbtxt`), protobuf and JSON.
//!
//! Invariant: nothing is lost on the way between a [`ModelConfig`](nereid_inference::ModelConfig) and any written form,
//! and what cannot be understood is an error that shows the place.
//!
//! Deliberately absent: what a configuration means, defaults, and files; those are the repository's.

mod convert;
mod error;
mod from_json;
mod json;
pub mod proto;
mod schema;
mod text;

pub use crate::{
    convert::{from_proto, to_proto},
    error::{ConfigError, TextError},
    from_json::parse_json,
    json::to_json,
    text::parse_text,
};
