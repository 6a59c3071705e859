//! Every metric and the log lines, typed, once.
//!
//! Invariant: recording is a handful of relaxed atomic additions; names, labels and texts are put together only when
//! the page is asked for. One label set is one series, however many generations of a model version feed it.
//!
//! Deliberately absent: sockets, timers, and metrics that nobody records.

mod families;
mod host_usage;
mod logging;
mod model_metrics;
mod telemetry;

pub use crate::{
    logging::{LogError, LogFormat, LogSettings, init_logging, log_panics},
    model_metrics::{FailureReason, ModelMetrics, RequestDurations},
    telemetry::Telemetry,
};
