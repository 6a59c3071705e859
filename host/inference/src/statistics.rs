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

/// Durations of the responses of one index within their requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseStatistics {
    pub compute_infer: DurationStatistic,
    pub compute_output: DurationStatistic,
    pub success: DurationStatistic,
    pub fail: DurationStatistic,
    pub empty_response: DurationStatistic,
    pub cancel: DurationStatistic,
}

/// Memory that a model occupies, as far as its backend can measure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUsage {
    pub kind: MemoryKind,
    /// Ordinal of the device; 0 on the CPU.
    pub device_id: i64,
    pub bytes: u64,
}

/// Where memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    Cpu,
    CpuPinned,
    Gpu,
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
    /// By the index of the response; empty unless the model is decoupled.
    pub responses: Vec<ResponseStatistics>,
    /// Empty where the backend measures nothing.
    pub memory: Vec<MemoryUsage>,
}

// === impl MemoryKind ===

impl MemoryKind {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::CpuPinned => "CPU_PINNED",
            Self::Gpu => "GPU",
        }
    }
}

// === impl ModelStatistics ===

impl ModelStatistics {
    /// Nothing counted yet.
    pub fn new(identity: ModelIdentity) -> Self {
        Self {
            identity,
            last_inference_ms: 0,
            inference_count: 0,
            execution_count: 0,
            inference: InferStatistics::default(),
            batches: vec![],
            responses: vec![],
            memory: vec![],
        }
    }
}
