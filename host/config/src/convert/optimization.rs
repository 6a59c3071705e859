//! Hints to backends.

use nereid_inference::config::{
    Accelerator, CudaOptimization, ExecutionAccelerators, GraphOptimization, GraphSpec, GraphSpecShape, LowerBound,
    ModelPriority, Optimization,
};

use super::{all, enums, named, number, values};
use crate::{
    ConfigError,
    proto::{
        ModelOptimizationPolicy,
        model_optimization_policy::{
            self as policy,
            cuda::{self, graph_spec},
            execution_accelerators,
        },
    },
};

enums!("optimization.priority", policy::ModelPriority => ModelPriority {
    PriorityDefault => Default,
    PriorityMax => Max,
    PriorityMin => Min,
});

impl From<Optimization> for ModelOptimizationPolicy {
    fn from(optimization: Optimization) -> Self {
        let Optimization {
            graph,
            priority,
            cuda,
            execution_accelerators,
            input_pinned_memory,
            output_pinned_memory,
            gather_kernel_buffer_threshold,
            eager_batching,
        } = optimization;
        let pinned = |enable| policy::PinnedMemoryBuffer { enable };
        Self {
            graph: graph.map(|GraphOptimization { level }| policy::Graph { level }),
            priority: number::<policy::ModelPriority, _>(priority),
            cuda: cuda.map(Into::into),
            execution_accelerators: execution_accelerators.map(Into::into),
            input_pinned_memory: input_pinned_memory.map(pinned),
            output_pinned_memory: output_pinned_memory.map(pinned),
            gather_kernel_buffer_threshold,
            eager_batching,
        }
    }
}

impl TryFrom<ModelOptimizationPolicy> for Optimization {
    type Error = ConfigError;

    fn try_from(message: ModelOptimizationPolicy) -> Result<Self, ConfigError> {
        let ModelOptimizationPolicy {
            graph,
            priority,
            cuda,
            execution_accelerators,
            input_pinned_memory,
            output_pinned_memory,
            gather_kernel_buffer_threshold,
            eager_batching,
        } = message;
        let enabled = |policy::PinnedMemoryBuffer { enable }| enable;
        Ok(Self {
            graph: graph.map(|policy::Graph { level }| GraphOptimization { level }),
            priority: named::<policy::ModelPriority, _>(priority)?,
            cuda: cuda.map(Into::into),
            execution_accelerators: execution_accelerators.map(Into::into),
            input_pinned_memory: input_pinned_memory.map(enabled),
            output_pinned_memory: output_pinned_memory.map(enabled),
            gather_kernel_buffer_threshold,
            eager_batching,
        })
    }
}

// === CUDA ===

impl From<CudaOptimization> for policy::Cuda {
    fn from(cuda: CudaOptimization) -> Self {
        let CudaOptimization { graphs, busy_wait_events, graph_specs, output_copy_stream } = cuda;
        Self { graphs, busy_wait_events, graph_spec: all(graph_specs), output_copy_stream }
    }
}

impl From<policy::Cuda> for CudaOptimization {
    fn from(message: policy::Cuda) -> Self {
        let policy::Cuda { graphs, busy_wait_events, graph_spec, output_copy_stream } = message;
        Self { graphs, busy_wait_events, graph_specs: all(graph_spec), output_copy_stream }
    }
}

impl From<GraphSpec> for cuda::GraphSpec {
    fn from(GraphSpec { batch_size, inputs, lower_bound }: GraphSpec) -> Self {
        Self { batch_size, input: values(inputs), graph_lower_bound: lower_bound.map(Into::into) }
    }
}

impl From<cuda::GraphSpec> for GraphSpec {
    fn from(cuda::GraphSpec { batch_size, input, graph_lower_bound }: cuda::GraphSpec) -> Self {
        Self { batch_size, inputs: values(input), lower_bound: graph_lower_bound.map(Into::into) }
    }
}

impl From<GraphSpecShape> for graph_spec::Shape {
    fn from(GraphSpecShape { dims }: GraphSpecShape) -> Self {
        Self { dim: dims }
    }
}

impl From<graph_spec::Shape> for GraphSpecShape {
    fn from(graph_spec::Shape { dim }: graph_spec::Shape) -> Self {
        Self { dims: dim }
    }
}

impl From<LowerBound> for graph_spec::LowerBound {
    fn from(LowerBound { batch_size, inputs }: LowerBound) -> Self {
        Self { batch_size, input: values(inputs) }
    }
}

impl From<graph_spec::LowerBound> for LowerBound {
    fn from(graph_spec::LowerBound { batch_size, input }: graph_spec::LowerBound) -> Self {
        Self { batch_size, inputs: values(input) }
    }
}

// === accelerators ===

impl From<ExecutionAccelerators> for policy::ExecutionAccelerators {
    fn from(ExecutionAccelerators { gpu, cpu }: ExecutionAccelerators) -> Self {
        Self { gpu_execution_accelerator: all(gpu), cpu_execution_accelerator: all(cpu) }
    }
}

impl From<policy::ExecutionAccelerators> for ExecutionAccelerators {
    fn from(message: policy::ExecutionAccelerators) -> Self {
        let policy::ExecutionAccelerators { gpu_execution_accelerator, cpu_execution_accelerator } = message;
        Self { gpu: all(gpu_execution_accelerator), cpu: all(cpu_execution_accelerator) }
    }
}

impl From<Accelerator> for execution_accelerators::Accelerator {
    fn from(Accelerator { name, parameters }: Accelerator) -> Self {
        Self { name, parameters }
    }
}

impl From<execution_accelerators::Accelerator> for Accelerator {
    fn from(message: execution_accelerators::Accelerator) -> Self {
        let execution_accelerators::Accelerator { name, parameters } = message;
        Self { name, parameters }
    }
}
