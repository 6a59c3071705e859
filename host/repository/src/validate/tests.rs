//! Each mistake in Triton's words.

use nereid_config::parse_text;
use nereid_inference::UsableGpus;

use super::validate;
use crate::defaults;

const GOOD: &str = "name: 'm' backend: 'b' max_batch_size: 8 ";

fn check(text: &str, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("labels.txt"), "zero\none\n").unwrap();
    let mut config = parse_text("config.pbtxt", text).unwrap();
    defaults::fill(&mut config, &UsableGpus::default());
    let found =
        validate(&config, &[], directory.path()).map_or_else(|error| error.message().to_owned(), |()| String::new());
    let found = found.replace(&directory.path().display().to_string(), "DIR");
    assert_eq!(found, expected, "{text}");
}

#[test]
fn a_good_configuration_passes() {
    check(
        &format!(
            "{GOOD} input [ {{ name: 'x' data_type: TYPE_FP32 dims: [ 3, -1, 224 ] format: FORMAT_NCHW }} ]
             output [ {{ name: 'x' data_type: TYPE_STRING dims: 1 label_filename: './labels.txt' }} ]
             dynamic_batching {{ preferred_batch_size: [ 8 ] }} instance_group {{ count: 2 }}"
        ),
        "",
    );
    check(
        "name: 'e' platform: 'ensemble' ensemble_scheduling { step { model_name: 'a'
         input_map { key: 'x' value: 'X' } output_map { key: 'y' value: 'Y' } } }",
        "",
    );
}

#[test]
fn answers_of_sequences_and_decoupled_models_are_not_kept() {
    let cached = |rest: &str| format!("{GOOD} response_cache {{ enable: true }} {rest}");
    check(&cached(""), "");
    check(
        &cached("sequence_batching { }"),
        "Response Cache does not currently support model m with sequence batching scheduler. Please disable the \
         response cache.",
    );
    check(
        &cached("model_transaction_policy { decoupled: true }"),
        "Response Cache does not currently support model m with 'decoupled' transaction policy. Please disable the \
         response cache.",
    );
    check(&format!("{GOOD} response_cache {{ }} model_transaction_policy {{ decoupled: true }}"), "");
}

#[test]
fn a_negative_batch_size_is_refused() {
    check("name: 'm' backend: 'b' max_batch_size: -1", "'max_batch_size' must be non-negative value for m");
}

#[test]
fn a_model_without_a_backend_is_refused() {
    check(
        "name: 'm'",
        "Invalid model name: Could not determine backend for model 'm' with no backend in model configuration. \
         Expected model name of the form 'model.<backend_name>'.",
    );
}

#[test]
fn incomplete_tensors_are_refused_by_name() {
    for (tensor, expected) in [
        ("input { }", "model input must specify 'name' for m"),
        ("input { name: 'x' dims: 1 }", "model input 'x' must specify 'data_type' for m"),
        ("input { name: 'x' data_type: TYPE_FP32 }", "model input 'x' must specify 'dims' for m"),
        ("output { name: 'x' data_type: TYPE_FP32 }", "model output 'x' must specify 'dims' for m"),
        (
            "input { name: 'x' data_type: TYPE_FP32 dims: [ 1, 0 ] }",
            "model input 'x' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for m",
        ),
        (
            "input { name: 'x' data_type: TYPE_FP32 dims: [ 1 ] format: FORMAT_NHWC }",
            "model input NHWC/NCHW require 3 dims for m",
        ),
        (
            "input [ { name: 'x' data_type: TYPE_FP32 dims: 1 }, { name: 'x' data_type: TYPE_FP32 dims: 1 } ]",
            "model input 'x' is specified more than once for m",
        ),
    ] {
        check(&format!("{GOOD} {tensor}"), expected);
    }
}

#[test]
fn impossible_reshapes_are_refused() {
    let differ = "has different size for dims and reshape for m";
    let different_number = "has different number of variable-size dimensions for dims and reshape for m";
    for (dims, reshape, expected) in [
        ("[ 1 ]", "", ""),
        ("[ 1, 1 ]", "", ""),
        ("[ 2, 4, -1, 6 ]", "8, -1, 1, 6", ""),
        ("[ -1, -1 ]", "-1, 1, -1", ""),
        ("[ 4 ]", "", differ),
        ("[ 4 ]", "2, 3", differ),
        ("[ 4, -1 ]", "-1, 4", differ),
        ("[ -1 ]", "1", differ),
        ("[ -1 ]", "", differ),
        ("[ 9223372036854775807, 4 ]", "4, 9223372036854775807", differ),
        ("[ -1, -1 ]", "-1", different_number),
        ("[ 4 ]", "4, 0", "reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension for m"),
    ] {
        for kind in ["input", "output"] {
            let tensor = format!("name: 'x' data_type: TYPE_FP32 dims: {dims} reshape {{ shape: [ {reshape} ] }}");
            let expected = if expected.is_empty() { String::new() } else { format!("model {kind} 'x' {expected}") };
            check(&format!("{GOOD} {kind} {{ {tensor} }}"), &expected);
        }
    }
    check(
        "name: 'm' backend: 'b' output { name: 'x' data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }",
        "model output 'x' cannot have empty reshape for non-batching model as scalar tensors are not supported for m",
    );
}

#[test]
fn tensors_that_only_tensorrt_has_are_refused_for_others() {
    for kind in ["input", "output"] {
        let tensor =
            |field: &str| format!("{kind} {{ name: 'x' data_type: TYPE_INT32 dims: [ 1, 2, 3 ] {field}: true }}");
        for (field, expected) in [
            ("is_shape_tensor", "shape tensors are only supported for TensorRT platform for m"),
            ("is_non_linear_format_io", "Non-linear IO format is only supported for the TensorRT platform for m"),
        ] {
            check(&format!("{GOOD} {}", tensor(field)), expected);
            check(&format!("name: 'm' backend: 'tensorrt' {}", tensor(field)), "");
        }
    }
}

#[test]
fn impossible_tensors_about_a_batch_are_refused() {
    let tensors = "input { name: 'x' data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
                   output { name: 'y' data_type: TYPE_FP32 dims: [ -1 ] }";
    let source = "source_input: 'x'";
    for (fields, expected) in [
        (format!("batch_input {{ kind: BATCH_ITEM_SHAPE target_name: 't' data_type: TYPE_INT32 {source} }}"), ""),
        (format!("batch_output {{ target_name: 'y' {source} }}"), ""),
        (
            "batch_input { kind: BATCH_ITEM_SHAPE target_name: 't' data_type: TYPE_INT32 }".into(),
            "batch input kind 'BATCH_ITEM_SHAPE' expects 1 source input, got 0",
        ),
        (
            format!("batch_input {{ target_name: 't' data_type: TYPE_INT32 {source} {source} }}"),
            "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 2",
        ),
        (
            format!("batch_input {{ target_name: 't' data_type: TYPE_INT64 {source} }}"),
            "batch input data type must be TYPE_INT32 or TYPE_FP32",
        ),
        (
            "batch_input { target_name: 't' data_type: TYPE_FP32 source_input: 'z' }".into(),
            "unknown source input name 'z'",
        ),
        (
            format!("batch_input {{ target_name: 'x' data_type: TYPE_FP32 {source} }}"),
            "target input name 'x' can only be specified once",
        ),
        (
            format!("batch_output {{ target_name: 'y' {source} source_input: 'z' }}"),
            "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 2",
        ),
        ("batch_output { target_name: 'y' source_input: 'z' }".into(), "unknown source input name 'z'"),
        (format!("batch_output {{ target_name: 'z' {source} }}"), "unknown target output name 'z'"),
        (
            format!("batch_output {{ target_name: [ 'y', 'y' ] {source} }}"),
            "target output name 'y' can only be specified once",
        ),
        (
            format!("batch_output {{ target_name: 'y' {source} }} batch_output {{ target_name: 'y' {source} }}"),
            "target output name 'y' can only be specified once",
        ),
    ] {
        let expected = if expected.is_empty() { String::new() } else { format!("{expected} for m") };
        check(&format!("{GOOD} {tensors} {fields}"), &expected);
    }
}

#[test]
fn label_files_must_be_in_the_directory() {
    for (file, expected) in [
        (
            "../labels.txt",
            "model output 'y' has label file '../labels.txt', which must stay inside the model's directory",
        ),
        ("/etc/hosts", "model output 'y' has label file '/etc/hosts', which must stay inside the model's directory"),
        ("gone.txt", "model output 'y' has label file 'DIR/gone.txt', which does not exist"),
    ] {
        let output = format!("output {{ name: 'y' data_type: TYPE_FP32 dims: 1 label_filename: '{file}' }}");
        check(&format!("{GOOD} {output}"), expected);
    }
}

#[test]
fn impossible_batching_is_refused() {
    for (batching, expected) in [
        ("preferred_batch_size: 0", "dynamic batching preferred size must be positive for m"),
        ("preferred_batch_size: 9", "dynamic batching preferred size must be <= max batch size for m"),
        (
            "preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 }",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m",
        ),
        // Without a time that can be over, DELAY says nothing.
        ("preserve_ordering: true default_queue_policy { timeout_action: DELAY }", ""),
        ("priority_levels: 3", "default priority level must be in range [1, 3] for m"),
        ("priority_levels: 3 default_priority_level: 4", "default priority level must be in range [1, 3] for m"),
        (
            "priority_levels: 3 default_priority_level: 3 priority_queue_policy { key: 4 }",
            "priority queue policy must have priority level in range [1, 3] for m",
        ),
        (
            "priority_levels: 2 default_priority_level: 1 preserve_ordering: true",
            "Only one priority level is allowed when 'preserve_ordering' is true for m",
        ),
    ] {
        check(&format!("{GOOD} dynamic_batching {{ {batching} }}"), expected);
    }
}

#[test]
fn impossible_sequences_are_refused() {
    let start = "control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }";
    let input = |control: &str| format!("control_input {{ name: 's' {control} }}");
    for (sequences, expected) in [
        (input(start), ""),
        ("direct { minimum_slot_utilization: 1.0 }".into(), ""),
        (
            "direct { minimum_slot_utilization: 1.5 }".into(),
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m",
        ),
        ("oldest { preferred_batch_size: 0 }".into(), "sequence batching preferred batch size must be positive for m"),
        (
            "oldest { preferred_batch_size: 9 }".into(),
            "sequence batching preferred batch size must be <= max batch size for m",
        ),
        (format!("control_input {{ {start} }}"), "sequence batching control tensor must have a name for m"),
        (
            format!(
                "{} {}",
                input(start),
                input("control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] }")
            ),
            "sequence batching control tensor 's' is specified for multiple control kinds for m",
        ),
        (
            format!("{} control_input {{ name: 't' {start} }}", input(start)),
            "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m",
        ),
        (
            input("control { kind: CONTROL_SEQUENCE_READY }"),
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for \
             CONTROL_SEQUENCE_READY for m",
        ),
        (
            input("control { int32_false_true: [ 0, 1 ] fp32_false_true: [ 0, 1 ] }"),
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true' \
             for CONTROL_SEQUENCE_START for m",
        ),
        (
            input("control { fp32_false_true: [ 0 ] }"),
            "sequence batching control 'fp32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_START for m",
        ),
        (
            input("control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 }"),
            "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are TYPE_UINT64, \
             TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
        ),
        (
            input("control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT32 int32_false_true: [ 0, 1 ] }"),
            "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for \
             CONTROL_SEQUENCE_CORRID for m",
        ),
        (
            "state { input_name: 'i' output_name: 'o' }".into(),
            "sequence batching state 'i' must specify 'data_type' for m",
        ),
        ("state { input_name: 'i' }".into(), "sequence batching state must specify 'output_name' for m"),
    ] {
        check(&format!("{GOOD} sequence_batching {{ {sequences} }}"), expected);
    }
}

#[test]
fn instance_groups_name_devices_of_the_server() {
    let refusal = |group: &str| {
        let mut config = parse_text("config.pbtxt", &format!("{GOOD} instance_group {{ {group} }}")).unwrap();
        let gpus = UsableGpus { ids: vec![0, 2], are_preferred: true };
        defaults::fill(&mut config, &gpus);
        validate(&config, &gpus.ids, std::path::Path::new(".")).err().map(|error| error.message().to_owned())
    };
    assert_eq!(refusal("kind: KIND_GPU"), None);
    assert_eq!(refusal("kind: KIND_GPU gpus: [ 0, 2 ]"), None);
    assert!(refusal("kind: KIND_GPU profile: '1'").unwrap().ends_with("only supported for TensorRT models"));
    assert_eq!(
        refusal("kind: KIND_GPU gpus: [ 0, 1 ]").unwrap(),
        "instance group m_0 of model m specifies invalid or unsupported gpu id 1. The server uses the GPUs: 0, 2"
    );
    let refused = "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs";
    assert_eq!(refusal("gpus: 1").unwrap(), refused);
}

#[test]
fn impossible_instance_groups_are_refused() {
    for (group, expected) in [
        ("kind: KIND_GPU", "instance group m_0 of model m has kind KIND_GPU but server does not support GPUs"),
        ("kind: KIND_GPU gpus: 0", "instance group m_0 of model m has kind KIND_GPU but server does not support GPUs"),
        (
            "profile: '1'",
            "instance group m_0 of model m and platform  specifies profile field which is only supported for TensorRT models",
        ),
        (
            "secondary_devices { }",
            "instance group m_0 of model m specifies secondary devices, which no backend of this server can use",
        ),
        ("kind: KIND_CPU gpus: 0", "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs"),
        ("gpus: [ 0, 1 ]", "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs"),
        (
            "kind: KIND_MODEL gpus: 0",
            "instance group m_0 of model m has kind KIND_MODEL but specifies one or more GPUs",
        ),
        ("name: 'g' count: -2", "instance group g of model m has count -2, expected 1 or more"),
    ] {
        check(&format!("{GOOD} instance_group {{ {group} }}"), expected);
    }
}

#[test]
fn impossible_ensembles_are_refused() {
    let steps = "ensemble_scheduling { step { model_name: 'a' input_map { key: 'x' value: 'X' }
                 output_map { key: 'y' value: 'Y' } } }";
    for (text, expected) in [
        (
            "platform: 'ensemble'".to_owned(),
            "ensemble scheduling must be set for ensemble m whose platform is ensemble",
        ),
        (steps.to_owned(), "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble"),
        (
            format!("platform: 'ensemble' backend: 'b' {steps}"),
            "Ensemble model 'm' must have platform type 'ensemble' and empty backend type, got backend 'b'",
        ),
        (
            format!("platform: 'ensemble' instance_group {{ }} {steps}"),
            "instance group should not be specified for ensemble 'm'",
        ),
        (
            format!("platform: 'ensemble' optimization {{ }} {steps}"),
            "optimization should not be specified for ensemble 'm'",
        ),
        ("platform: 'ensemble' ensemble_scheduling { }".to_owned(), "must specify 'step' for ensemble 'm'"),
        (
            "platform: 'ensemble' ensemble_scheduling { step { model_name: 'a' } }".to_owned(),
            "must specify 'input_map' in step 0 of ensemble 'm'",
        ),
        (
            format!("platform: 'ensemble' {}", steps.replace("'a'", "'a' model_version: -2")),
            "'model_version' in step 0 of ensemble 'm' is -2, expected a version, or -1 for the latest",
        ),
    ] {
        check(&format!("name: 'm' {text}"), expected);
    }
}
