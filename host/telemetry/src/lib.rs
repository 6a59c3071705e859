//! Every metric, the log lines and the request traces, typed, once.
//!
//! Invariant: recording is a handful of relaxed atomic additions; names, labels and texts are put together only when
//! the page is asked for. One label set is one series, however many generations of a model version feed it.
//!
//! Deliberately absent: timers, and metrics that nobody records. The only sockets are those to a collector of spans.

mod batch_sizes;
mod cache_metrics;
mod custom_metrics;
mod diagnostics;
mod families;
mod first_response;
mod followed_files;
mod gpu_metrics;
mod host_usage;
mod logging;
mod memory_metrics;
mod metrics_settings;
mod model_metrics;
mod page;
mod plugin_guests;
mod plugin_usage;
mod strategy_metrics;
mod summaries;
mod telemetry;
mod tenant_metrics;
mod trace;

pub use crate::{
    cache_metrics::CacheHit,
    custom_metrics::{CustomKind, CustomMetrics, CustomSeries, MetricHead, ModelMeters},
    diagnostics::ServerDiagnostics,
    first_response::check_metric_control,
    followed_files::FollowedFiles,
    gpu_metrics::{DeviceReading, GpuReadings, GpuSource},
    logging::{LogControl, LogError, RequestLine, init_logging, log_panics},
    memory_metrics::{MemoryReading, MemorySource},
    metrics_settings::MetricsSettings,
    model_metrics::{FailureReason, ModelMetrics, RequestDurations},
    plugin_guests::{GuestEnd, GuestFigures},
    plugin_usage::{ModelUsage, PluginUsage, Usage},
    strategy_metrics::StrategyAnswer,
    telemetry::Telemetry,
    tenant_metrics::TenantSource,
    trace::{OpenTelemetryOptions, TraceError, TraceOptions, Traces},
};
