//! The message types of package `inference` that describe models, generated from `proto/model_config.proto`.

#![allow(clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/inference.rs"));
