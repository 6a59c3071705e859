//! The configuration of one model: every field of Triton's `ModelConfig` message as plain Rust.
//!
//! Field names and meaning: `model_config.proto` of Triton's common repository. Zero, empty and `None` mean "not
//! written" exactly as in the message; defaults are filled in by the repository, which then holds the effective
//! configuration. How it is written (text format, JSON, protobuf) is known to `nereid-config` alone.

mod instances;
mod optimization;
mod scheduling;
mod tensors;
mod warmup;

use std::collections::BTreeMap;

pub use self::{
    instances::{InstanceGroup, InstanceKind, RateLimiter, RateLimiterResource, SecondaryDevice},
    optimization::{
        Accelerator, CudaOptimization, ExecutionAccelerators, GraphOptimization, GraphSpec, GraphSpecShape, LowerBound,
        ModelPriority, Optimization,
    },
    scheduling::{
        CONTROL_DIMS, ControlInput, ControlKind, ControlSpec, DynamicBatching, EnsembleScheduling, EnsembleStep,
        InitialState, InitialStateData, QueuePolicy, Scheduling, SequenceBatching, SequenceStrategy, StateSpec,
        TimeoutAction,
    },
    tensors::{
        BatchInput, BatchInputKind, BatchOutput, BatchOutputKind, ConfigDataType, ModelInput, ModelOutput, Reshape,
        TensorFormat,
    },
    warmup::{WarmupData, WarmupInput, WarmupSample},
};

/// The whole configuration of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    pub name: String,
    /// The legacy selector of a backend, for example `onnxruntime_onnx`.
    pub platform: String,
    pub backend: String,
    /// Library or file to use as the backend's runtime.
    pub runtime: String,
    pub version_policy: Option<VersionPolicy>,
    /// Largest batch; 0 means that the model has no batch dimension.
    pub max_batch_size: i32,
    pub inputs: Vec<ModelInput>,
    pub outputs: Vec<ModelOutput>,
    pub batch_inputs: Vec<BatchInput>,
    pub batch_outputs: Vec<BatchOutput>,
    pub optimization: Option<Optimization>,
    pub scheduling: Option<Scheduling>,
    pub instance_groups: Vec<InstanceGroup>,
    pub default_model_filename: String,
    /// File by CUDA compute capability.
    pub cc_model_filenames: BTreeMap<String, String>,
    /// Extra labels of the model's metrics.
    pub metric_tags: BTreeMap<String, String>,
    /// Free text for the backend.
    pub parameters: BTreeMap<String, String>,
    pub warmup: Vec<WarmupSample>,
    /// Libraries with custom operators.
    pub operation_library_filenames: Option<Vec<String>>,
    pub transaction_policy: Option<TransactionPolicy>,
    pub repository_agents: Option<Vec<RepositoryAgent>>,
    pub response_cache: Option<ResponseCache>,
    pub model_metrics: Option<Vec<MetricControl>>,
}

/// Which versions of a model are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionPolicy {
    /// The highest `count` versions.
    Latest {
        count: u32,
    },
    All,
    Specific {
        versions: Vec<i64>,
    },
}

/// How many responses one request gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionPolicy {
    /// Any number, instead of exactly one.
    pub decoupled: bool,
}

/// Code that acts when the model is loaded or unloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryAgent {
    pub name: String,
    pub parameters: BTreeMap<String, String>,
}

/// Whether responses are cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseCache {
    pub enable: bool,
}

/// How one metric family of the model is to be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricControl {
    pub family: Option<String>,
    pub histogram_buckets: Option<Vec<f64>>,
}

// === impl ModelConfig ===

impl ModelConfig {
    /// Whether requests carry a batch dimension.
    pub fn has_batching(&self) -> bool {
        self.max_batch_size > 0
    }

    /// Whether a request may get any number of responses.
    pub fn is_decoupled(&self) -> bool {
        self.transaction_policy.is_some_and(|policy| policy.decoupled)
    }

    /// Whether answers are to be kept, where the server keeps any.
    pub fn caches_responses(&self) -> bool {
        self.response_cache.is_some_and(|cache| cache.enable)
    }

    /// The steps, when the model is an ensemble.
    pub fn ensemble(&self) -> Option<&EnsembleScheduling> {
        match &self.scheduling {
            Some(Scheduling::Ensemble(ensemble)) => Some(ensemble),
            _ => None,
        }
    }

    /// How sequences are kept together, when the model serves them.
    pub fn sequences(&self) -> Option<&SequenceBatching> {
        match &self.scheduling {
            Some(Scheduling::Sequence(sequences)) => Some(sequences),
            _ => None,
        }
    }

    /// The free-text parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}
