//! Which kinds of latency metrics are kept, as `--metrics-config` says.
//!
//! The settings are one for the process. What a model may change (the buckets of its histogram) stands in its
//! configuration, see [`crate::first_response`].

/// The default quantiles of summaries; source: Triton's `metric_model_reporter.h`.
const DEFAULT_QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// What is on the page, and what is recorded for it.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsSettings {
    /// Cumulative durations, the families `nv_inference_*_duration_us`.
    pub counter_latencies: bool,
    /// `nv_inference_first_response_histogram_ms`.
    pub histogram_latencies: bool,
    /// Quantiles over the last minute, the families `nv_inference_*_summary_us`.
    pub summary_latencies: bool,
    /// Quantiles of every summary, 0 to 1, in the order of the page.
    pub summary_quantiles: Vec<f64>,
    /// Processor and memory usage of the machine.
    pub host_usage: bool,
}

// === impl MetricsSettings ===

impl Default for MetricsSettings {
    /// Triton's defaults.
    fn default() -> Self {
        Self {
            counter_latencies: true,
            histogram_latencies: false,
            summary_latencies: false,
            summary_quantiles: DEFAULT_QUANTILES.to_vec(),
            host_usage: true,
        }
    }
}
