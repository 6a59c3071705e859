//! Counts and durations of one model version, as the protocol's statistics extension names them.
//!
//! Source: Triton's `ModelStatistics` message. Durations are totals in nanoseconds.

use crate::ModelIdentity;

/// How often something happened and how long that took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurationStatistic {
    pub count: u64,
    pub total_ns: u64,
}

/// Durations of the stages of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferStatistics {
    pub success: DurationStatistic,
    pub fail: DurationStatistic,
    pub queue: DurationStatistic,
    pub compute_input: DurationStatistic,
    pub compute_infer: DurationStatistic,
    pub compute_output: DurationStatistic,
    pub cache_hit: DurationStatistic,
    pub cache_miss: DurationStatistic,
}

/// Durations of the executions of one batch size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchStatistics {
    pub batch_size: u64,
    pub compute_input: DurationStatistic,
    pub compute_infer: DurationStatistic,
    pub compute_output: DurationStatistic,
}

/// Everything counted for one model version since it was loaded.
#[derive(Clone, Debug)]
pub struct ModelStatistics {
    pub identity: ModelIdentity,
    /// Milliseconds since the Unix epoch; 0 before the first inference.
    pub last_inference_ms: u64,
    /// Batch items executed.
    pub inference_count: u64,
    /// Times the backend was called.
    pub execution_count: u64,
    pub inference: InferStatistics,
    pub batches: Vec<BatchStatistics>,
}
