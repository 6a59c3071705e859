//! Every metric and the log lines, typed, once.
//!
//! Invariant: recording is a handful of relaxed atomic additions; names, labels and texts are put together only when
//! the page is asked for. One label set is one series, however many generations of a model version feed it.
//!
//! Deliberately absent: sockets, timers, and metrics that nobody records.

mod families;
mod first_response;
mod host_usage;
mod logging;
mod metrics_settings;
mod model_metrics;
mod page;
mod summaries;
mod telemetry;

pub use crate::{
    first_response::check_metric_control,
    logging::{LogError, LogFormat, LogSettings, init_logging, log_panics},
    metrics_settings::MetricsSettings,
    model_metrics::{FailureReason, ModelMetrics, RequestDurations},
    telemetry::Telemetry,
};
