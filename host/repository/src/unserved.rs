//! The one list of fields that are understood and not served yet.
//!
//! A configuration that uses one of them fails its load by the field's name: a model that ignores half of what its
//! author wrote gives wrong answers. Serving a field means deleting its line here.
//!
//! Served as hints, which change nothing on a CPU: `optimization.graph`, `.priority`, `.cuda`, `.input_pinned_memory`,
//! `.output_pinned_memory`, `.gather_kernel_buffer_threshold`, `.eager_batching`, empty `.execution_accelerators`; and
//! `input.format`, which backends of image models read.

use nereid_inference::{
    InferError, ModelConfig,
    config::{ModelInput, ModelOutput},
};

use crate::platform::is_tensorrt;

/// Code in Python for all models of a backend.
const PYTHON_RUNTIME: &str = "model.py";

/// One field: its path, and which part of the model uses it.
struct Unserved {
    path: &'static str,
    /// The input, output, … that uses it, or nothing but the fact; `None` when it is not used.
    used_by: fn(&ModelConfig) -> Option<String>,
}

/// Reading order of the reference.
const UNSERVED: &[Unserved] = &[
    // That of Python-based backends is served; others name files of Triton's own backends.
    Unserved { path: "runtime", used_by: |config| flag(!matches!(&*config.runtime, "" | PYTHON_RUNTIME)) },
    // Without TensorRT they are mistakes, which `validate` tells in Triton's words.
    Unserved {
        path: "input.is_shape_tensor",
        used_by: |config| input(of_tensorrt(config)?, |input| input.is_shape_tensor),
    },
    Unserved {
        path: "input.is_non_linear_format_io",
        used_by: |config| input(of_tensorrt(config)?, |input| input.is_non_linear_format_io),
    },
    Unserved {
        path: "output.is_shape_tensor",
        used_by: |config| output(of_tensorrt(config)?, |output| output.is_shape_tensor),
    },
    Unserved {
        path: "output.is_non_linear_format_io",
        used_by: |config| output(of_tensorrt(config)?, |output| output.is_non_linear_format_io),
    },
    Unserved { path: "optimization.execution_accelerators", used_by: accelerators },
    // Of the other backends none hands a request back.
    Unserved { path: "sequence_batching.iterative_sequence", used_by: iterative_without_end },
    // TensorRT's engines are made for one kind of device each.
    Unserved {
        path: "cc_model_filenames",
        used_by: |config| flag(!config.cc_model_filenames.is_empty() && !is_tensorrt(config)),
    },
    Unserved {
        path: "model_operations.op_library_filename",
        used_by: |config| flag(config.operation_library_filenames.as_ref().is_some_and(|names| !names.is_empty())),
    },
];

/// Refuses a configuration that uses what is not served.
///
/// # Errors
/// `Unsupported`, with every such field.
pub(crate) fn refuse(config: &ModelConfig) -> Result<(), InferError> {
    let used: Vec<String> = UNSERVED
        .iter()
        .filter_map(|unserved| {
            let user = (unserved.used_by)(config)?;
            Some(if user.is_empty() { format!("'{}'", unserved.path) } else { format!("'{}' ({user})", unserved.path) })
        })
        .collect();
    if used.is_empty() {
        return Ok(());
    }
    let (noun, verb, them) = if used.len() == 1 { ("field", "is", "it") } else { ("fields", "are", "them") };
    Err(InferError::unsupported(format!(
        "model '{}' uses the configuration {noun} {}, which {verb} understood but not served yet; remove {them} from \
         config.pbtxt, or serve this model with a release that lists {them} as served",
        config.name,
        used.join(", ")
    )))
}

fn flag(used: bool) -> Option<String> {
    used.then(String::new)
}

fn of_tensorrt(config: &ModelConfig) -> Option<&ModelConfig> {
    is_tensorrt(config).then_some(config)
}

fn input(config: &ModelConfig, used: fn(&ModelInput) -> bool) -> Option<String> {
    config.inputs.iter().find(|input| used(input)).map(|input| format!("input '{}'", input.name))
}

fn output(config: &ModelConfig, used: fn(&ModelOutput) -> bool) -> Option<String> {
    config.outputs.iter().find(|output| used(output)).map(|output| format!("output '{}'", output.name))
}

/// A backend that is not known yet is asked about again when the configuration is complete.
fn iterative_without_end(config: &ModelConfig) -> Option<String> {
    let can_end =
        matches!(&*config.backend, "" | "onnxruntime" | "python" | "wasm") || config.runtime == PYTHON_RUNTIME;
    let is_used = config.sequences()?.iterative_sequence && !can_end;
    is_used.then(|| format!("backend '{}'", config.backend))
}

/// The backend that has some refuses those that it has not, by their names.
fn accelerators(config: &ModelConfig) -> Option<String> {
    if matches!(&*config.backend, "" | "onnxruntime") {
        return None;
    }
    let accelerators = config.optimization.as_ref()?.execution_accelerators.as_ref()?;
    accelerators.gpu.iter().chain(&accelerators.cpu).next().map(|accelerator| format!("'{}'", accelerator.name))
}

#[cfg(test)]
mod tests {
    use nereid_config::parse_text;
    use nereid_inference::ErrorKind;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut config = parse_text("config.pbtxt", text).unwrap();
        config.name = "m".to_owned();
        let message = match refuse(&config) {
            Ok(()) => String::new(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                error.message().to_owned()
            }
        };
        let found: Vec<&str> = UNSERVED
            .iter()
            .map(|unserved| unserved.path)
            .filter(|path| message.contains(&format!("'{path}'")))
            .collect();
        assert_eq!(found, expected, "{text}: {message}");
    }

    #[test]
    fn every_line_of_the_list_refuses_its_field() {
        let cases = [
            ("runtime", "runtime: 'libtriton_x.so'"),
            ("input.is_shape_tensor", "backend: 'tensorrt' input { is_shape_tensor: true }"),
            ("input.is_non_linear_format_io", "backend: 'tensorrt' input { is_non_linear_format_io: true }"),
            ("output.is_shape_tensor", "platform: 'tensorrt_plan' output { is_shape_tensor: true }"),
            ("output.is_non_linear_format_io", "backend: 'tensorrt' output { is_non_linear_format_io: true }"),
            (
                "optimization.execution_accelerators",
                "backend: 'pytorch'
                 optimization { execution_accelerators { cpu_execution_accelerator { name: 'openvino' } } }",
            ),
            (
                "sequence_batching.iterative_sequence",
                "backend: 'identity' sequence_batching { iterative_sequence: true }",
            ),
            ("cc_model_filenames", "cc_model_filenames { key: '8.0' value: 'm' }"),
            ("model_operations.op_library_filename", "model_operations { op_library_filename: 'l.so' }"),
        ];
        let listed: Vec<&str> = UNSERVED.iter().map(|unserved| unserved.path).collect();
        assert_eq!(cases.map(|(path, _)| path).to_vec(), listed);
        for (path, text) in cases {
            check(text, &[path]);
        }
    }

    #[test]
    fn what_is_served_or_says_nothing_passes() {
        check(
            "max_batch_size: 8
             input { name: 'x' data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 2, 2 ] optional: true }
             output { name: 'y' data_type: TYPE_FP32 dims: [ 1 ] label_filename: 'labels.txt' }
             dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 100
                                default_queue_policy { timeout_action: DELAY max_queue_size: 7 } }
             instance_group { kind: KIND_AUTO count: 2 passive: true host_policy: 'p'
                              rate_limiter { resources { name: 'R' count: 1 } priority: 2 } } default_model_filename: 'm.onnx'
             optimization { graph { level: 1 } priority: PRIORITY_MAX cuda { graphs: true } eager_batching: true
                            execution_accelerators { } input_pinned_memory { enable: false } }
             metric_tags { key: 'a' value: 'b' } parameters { key: 'a' value { string_value: 'b' } }
             model_operations { } model_repository_agents { } response_cache { enable: true }
             model_metrics { metric_control { } }
             model_transaction_policy { decoupled: true } version_policy { all { } }",
            &[],
        );
        check("input { is_shape_tensor: true } output { is_non_linear_format_io: true }", &[]);
        check("input { allow_ragged_batch: true } batch_input { } batch_output { }", &[]);
        check("input { reshape { } } output { reshape { shape: [ 1, 4 ] } }", &[]);
        check("dynamic_batching { preserve_ordering: true } instance_group { count: 2 }", &[]);
        check(
            "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 1 } }",
            &[],
        );
        check("sequence_batching { oldest { max_candidate_sequences: 4 } state { input_name: 'i' } }", &[]);
        check("backend: 'onnxruntime' sequence_batching { iterative_sequence: true }", &[]);
        check(
            "backend: 'onnxruntime'
             optimization { execution_accelerators { gpu_execution_accelerator { name: 'tensorrt' } } }",
            &[],
        );
        check("backend: 'tensorrt' cc_model_filenames { key: '9.0' value: 'h.plan' }", &[]);
        check("backend: 'python' sequence_batching { iterative_sequence: true }", &[]);
        check("backend: 'x' runtime: 'model.py' sequence_batching { iterative_sequence: true }", &[]);
        check("sequence_batching { state { input_name: 'i' use_growable_memory: true } }", &[]);
        check(
            "ensemble_scheduling { max_inflight_requests: 1 step { model_name: 'a' input_map { key: 'x' value: 'y' } } }",
            &[],
        );
    }

    #[test]
    fn the_text_names_model_field_and_place() {
        let config =
            parse_text("c", "name: 'm' runtime: 'r' backend: 'tensorrt' input { name: 'x' is_shape_tensor: true }")
                .unwrap();
        assert_eq!(
            refuse(&config).unwrap_err().message(),
            "model 'm' uses the configuration fields 'runtime', 'input.is_shape_tensor' (input 'x'), which are \
             understood but not served yet; remove them from config.pbtxt, or serve this model with a release that lists \
             them as served"
        );
    }
}
