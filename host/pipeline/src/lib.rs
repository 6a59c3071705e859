//! The order of steps for one model: check against the signature, schedule, execute, count; and models made of models.
//!
//! Invariant: a request that reaches a scheduler fits its model, and every outcome is counted before it is sent.
//!
//! Deliberately absent: wire formats, threads, and knowledge of any particular backend.

mod cache_use;
mod caching;
mod decisions;
mod ensemble;
mod entrance;
mod fingerprint;
mod gpu_metrics;
mod gpu_rules;
mod instances;
mod kept_requests;
mod labels;
mod limits;
mod loader;
mod memory_use;
mod model;
mod model_file;
mod recorder;
mod roster;
mod scheduling;
mod sequences;
mod strategy;
mod swap_guard;
mod warmup;

pub use crate::{
    cache_use::CacheUse,
    gpu_rules::GpuRules,
    instances::{INSTANCES_MAX, InstanceRules},
    limits::PipelineLimits,
    loader::{Loader, LoaderSettings},
    strategy::StrategySources,
};

#[cfg(test)]
mod test_service;
