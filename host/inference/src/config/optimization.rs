//! Hints to backends.

use std::collections::BTreeMap;

/// Hints; a backend honours those that mean something to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Optimization {
    pub graph: Option<GraphOptimization>,
    pub priority: ModelPriority,
    pub cuda: Option<CudaOptimization>,
    pub execution_accelerators: Option<ExecutionAccelerators>,
    /// `None` means enabled.
    pub input_pinned_memory: Option<bool>,
    /// `None` means enabled.
    pub output_pinned_memory: Option<bool>,
    pub gather_kernel_buffer_threshold: u32,
    pub eager_batching: bool,
}

/// How far the backend may rewrite the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphOptimization {
    pub level: i32,
}

/// Priority of the model's work on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelPriority {
    #[default]
    Default,
    Max,
    Min,
}

/// CUDA graphs and streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CudaOptimization {
    pub graphs: bool,
    pub busy_wait_events: bool,
    pub graph_specs: Vec<GraphSpec>,
    pub output_copy_stream: bool,
}

/// A shape to capture a CUDA graph for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphSpec {
    pub batch_size: i32,
    pub inputs: BTreeMap<String, GraphSpecShape>,
    pub lower_bound: Option<LowerBound>,
}

/// Dimensions of one input of a captured graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphSpecShape {
    pub dims: Vec<i64>,
}

/// The smallest shape that may use the captured graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LowerBound {
    pub batch_size: i32,
    pub inputs: BTreeMap<String, GraphSpecShape>,
}

/// Engines inside a backend, in order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionAccelerators {
    pub gpu: Vec<Accelerator>,
    pub cpu: Vec<Accelerator>,
}

/// One engine inside a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accelerator {
    pub name: String,
    pub parameters: BTreeMap<String, String>,
}
