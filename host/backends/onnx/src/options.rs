//! What a configuration says about threads and graph rewriting, under the names of Triton's ONNX backend.
//!
//! Without a word in the configuration a session computes on the thread that calls it: throughput comes from several
//! instances, and a pool per model would fight over the same cores. Waiting threads sleep instead of spinning. "One per
//! core" counts the cores that the thread which makes the session may use: asked for as 0 the library would bind its
//! threads to all cores of the machine, whatever host policy the model has.
//! Memory options change no result; what is not written is left to the library's own defaults.

use std::{num::NonZeroUsize, thread};

use nereid_inference::{InferError, ModelConfig};
use ort::{
    environment::Environment,
    ep,
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

use crate::providers::flag;

/// Weights in memory of the device's own allocator instead of the arena's; Triton's name is ONNX Runtime's.
const DEVICE_ALLOCATOR: &str = "session.use_device_allocator_for_initializers";

/// More threads than any machine we know has cores; a larger number is a typing error.
const THREADS_MAX: usize = 1024;

/// How a session computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionOptions {
    /// Threads within one operator; 0 is one per core.
    intra_threads: usize,
    /// Threads across operators; 0 is one per core. Only of use in parallel mode.
    inter_threads: usize,
    parallel: bool,
    optimization: GraphOptimizationLevel,
    memory: MemoryOptions,
}

/// How a session holds its memory; `None` is as ONNX Runtime would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MemoryOptions {
    cpu_arena: Option<bool>,
    pattern: Option<bool>,
    device_allocator: Option<bool>,
}

// === impl SessionOptions ===

impl SessionOptions {
    /// For a session that is only asked for its tensors: as quick to make as possible.
    pub(crate) const METADATA: Self = Self {
        intra_threads: 1,
        inter_threads: 1,
        parallel: false,
        optimization: GraphOptimizationLevel::Disable,
        memory: MemoryOptions { cpu_arena: None, pattern: None, device_allocator: None },
    };

    /// The options that a configuration asks for.
    ///
    /// # Errors
    /// A value out of range.
    pub(crate) fn from_config(model_config: &ModelConfig) -> Result<Self, InferError> {
        let switch = |parameter| switch(model_config, parameter);
        let memory = MemoryOptions {
            cpu_arena: switch("enable_mem_arena")?,
            pattern: switch("enable_mem_pattern")?,
            device_allocator: switch(DEVICE_ALLOCATOR)?,
        };
        Ok(Self {
            intra_threads: number(model_config, "intra_op_thread_count", 1, THREADS_MAX)?,
            inter_threads: number(model_config, "inter_op_thread_count", 1, THREADS_MAX)?,
            parallel: number(model_config, "execution_mode", 0, 1)? == 1,
            optimization: optimization(model_config)?,
            memory,
        })
    }

    /// Whether tensors on the CPU come from an arena.
    pub(crate) fn has_cpu_arena(self) -> bool {
        self.memory.cpu_arena.unwrap_or(true)
    }

    /// A builder with these options.
    ///
    /// # Errors
    /// Whatever the library objects to.
    pub(crate) fn builder(self, environment: &Environment) -> Result<SessionBuilder, ort::Error> {
        let builder = Session::builder(environment)?
            .with_optimization_level(self.optimization)?
            .with_intra_threads(or_one_per_core(self.intra_threads))?
            .with_inter_threads(or_one_per_core(self.inter_threads))?
            .with_parallel_execution(self.parallel)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        self.memory.apply(builder)
    }
}

// === impl MemoryOptions ===

impl MemoryOptions {
    fn apply(self, mut builder: SessionBuilder) -> Result<SessionBuilder, ort::Error> {
        if let Some(is_wanted) = self.cpu_arena {
            let provider = ep::CPU::default().with_arena_allocator(is_wanted).build();
            builder = builder.with_execution_providers([provider.error_on_failure()])?;
        }
        if let Some(is_wanted) = self.pattern {
            builder = builder.with_memory_pattern(is_wanted)?;
        }
        if let Some(is_wanted) = self.device_allocator {
            builder = builder.with_config_entry(DEVICE_ALLOCATOR, u8::from(is_wanted).to_string())?;
        }
        Ok(builder)
    }
}

fn or_one_per_core(threads: usize) -> usize {
    match threads {
        0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    }
}

fn number(model_config: &ModelConfig, parameter: &str, default: usize, max: usize) -> Result<usize, InferError> {
    let Some(text) = model_config.parameter(parameter) else { return Ok(default) };
    text.trim().parse().ok().filter(|value| *value <= max).ok_or_else(|| {
        InferError::invalid_argument(format!(
            "model '{}': parameter '{parameter}' is '{text}', expected a whole number from 0 to {max}",
            model_config.name
        ))
    })
}

fn switch(model_config: &ModelConfig, parameter: &str) -> Result<Option<bool>, InferError> {
    let Some(text) = model_config.parameter(parameter) else { return Ok(None) };
    flag(text.trim()).map(Some).ok_or_else(|| {
        InferError::invalid_argument(format!(
            "model '{}': parameter '{parameter}' is '{text}', expected 1, true, 0 or false",
            model_config.name
        ))
    })
}

/// The numbers are those of Triton's ONNX backend, not of ONNX Runtime.
fn optimization(model_config: &ModelConfig) -> Result<GraphOptimizationLevel, InferError> {
    let graph = model_config.optimization.as_ref().and_then(|optimization| optimization.graph);
    match graph.map_or(0, |graph| graph.level) {
        -1 => Ok(GraphOptimizationLevel::Level1),
        0 => Ok(GraphOptimizationLevel::All),
        1 => Ok(GraphOptimizationLevel::Level2),
        2 => Ok(GraphOptimizationLevel::Disable),
        level => Err(InferError::invalid_argument(format!(
            "model '{}': optimization.graph.level is {level}, expected -1 (basic), 0 (all), 1 (extended) or 2 (none)",
            model_config.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::{GraphOptimization, Optimization};

    use super::*;

    fn config(parameters: &[(&str, &str)], optimization: Optimization) -> ModelConfig {
        let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ModelConfig { name: "m".into(), parameters, optimization: Some(optimization), ..ModelConfig::default() }
    }

    #[test]
    fn computes_on_the_calling_thread_unless_told_otherwise() {
        let options = SessionOptions::from_config(&config(&[], Optimization::default())).unwrap();
        assert_eq!((options.intra_threads, options.parallel), (1, false));
        let written = [("intra_op_thread_count", "4"), ("inter_op_thread_count", "2"), ("execution_mode", "1")];
        let options = SessionOptions::from_config(&config(&written, Optimization::default())).unwrap();
        assert_eq!((options.intra_threads, options.inter_threads, options.parallel), (4, 2, true));
    }

    #[test]
    fn refuses_a_number_out_of_range() {
        let error = SessionOptions::from_config(&config(&[("intra_op_thread_count", "-1")], Optimization::default()))
            .unwrap_err();
        assert_eq!(
            error.message(),
            "model 'm': parameter 'intra_op_thread_count' is '-1', expected a whole number from 0 to 1024"
        );
        let graph = Some(GraphOptimization { level: 7 });
        let error =
            SessionOptions::from_config(&config(&[], Optimization { graph, ..Optimization::default() })).unwrap_err();
        assert!(error.message().starts_with("model 'm': optimization.graph.level is 7, expected -1"), "{error}");
    }

    #[test]
    fn memory_is_held_as_the_parameters_say() {
        let read =
            |parameters: &[(&str, &str)]| SessionOptions::from_config(&config(parameters, Optimization::default()));
        let written = [("enable_mem_arena", "0"), ("enable_mem_pattern", "False"), (DEVICE_ALLOCATOR, "1")];
        let options = read(&written).unwrap();
        let expected = MemoryOptions { cpu_arena: Some(false), pattern: Some(false), device_allocator: Some(true) };
        assert_eq!((options.memory, options.has_cpu_arena()), (expected, false));
        assert_eq!(read(&[]).unwrap().memory, MemoryOptions::default());
        assert_eq!(
            read(&[("enable_mem_arena", "off")]).unwrap_err().message(),
            "model 'm': parameter 'enable_mem_arena' is 'off', expected 1, true, 0 or false"
        );
    }
}
