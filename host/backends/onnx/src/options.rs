//! What a configuration says about threads and graph rewriting, under the names of Triton's ONNX backend.
//!
//! Without a word in the configuration a session computes on the thread that calls it: throughput comes from several
//! instances, and a pool per model would fight over the same cores. Waiting threads sleep instead of spinning. "One per
//! core" counts the cores that the thread which makes the session may use: asked for as 0 the library would bind its
//! threads to all cores of the machine, whatever host policy the model has.
//! Memory hints (`enable_mem_arena` and the like) change no result and are left to the library's own defaults.

use std::{num::NonZeroUsize, thread};

use nereid_inference::{InferError, ModelConfig};
use ort::{
    environment::Environment,
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

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
}

// === impl SessionOptions ===

impl SessionOptions {
    /// For a session that is only asked for its tensors: as quick to make as possible.
    pub(crate) const METADATA: Self =
        Self { intra_threads: 1, inter_threads: 1, parallel: false, optimization: GraphOptimizationLevel::Disable };

    /// The options that a configuration asks for.
    ///
    /// # Errors
    /// A value out of range, or an accelerator that this backend does not have.
    pub(crate) fn from_config(model_config: &ModelConfig) -> Result<Self, InferError> {
        refuse_accelerators(model_config)?;
        Ok(Self {
            intra_threads: number(model_config, "intra_op_thread_count", 1, THREADS_MAX)?,
            inter_threads: number(model_config, "inter_op_thread_count", 1, THREADS_MAX)?,
            parallel: number(model_config, "execution_mode", 0, 1)? == 1,
            optimization: optimization(model_config)?,
        })
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

/// Accelerators of GPU instances are passed over, since no such instance can be made.
fn refuse_accelerators(model_config: &ModelConfig) -> Result<(), InferError> {
    let accelerators = model_config.optimization.as_ref().and_then(|o| o.execution_accelerators.as_ref());
    match accelerators.and_then(|accelerators| accelerators.cpu.first()) {
        None => Ok(()),
        Some(accelerator) => Err(InferError::unsupported(format!(
            "model '{}': cpu_execution_accelerator '{}' is not offered by the onnxruntime backend; remove it to run on \
             the CPU provider",
            model_config.name, accelerator.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::{Accelerator, ExecutionAccelerators, GraphOptimization, Optimization};

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
    fn refuses_an_accelerator_by_name() {
        let cpu = vec![Accelerator { name: "openvino".into(), ..Accelerator::default() }];
        let execution_accelerators = Some(ExecutionAccelerators { cpu, ..ExecutionAccelerators::default() });
        let optimization = Optimization { execution_accelerators, ..Optimization::default() };
        let error = SessionOptions::from_config(&config(&[], optimization)).unwrap_err();
        assert!(
            error.message().starts_with("model 'm': cpu_execution_accelerator 'openvino' is not offered"),
            "{error}"
        );
    }
}
