//! Each mistake in Triton's words.

use nereid_config::parse_text;

use super::validate;
use crate::defaults;

const GOOD: &str = "name: 'm' backend: 'b' max_batch_size: 8 ";

fn check(text: &str, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("labels.txt"), "zero\none\n").unwrap();
    let mut config = parse_text("config.pbtxt", text).unwrap();
    defaults::fill(&mut config);
    let found = validate(&config, directory.path()).map_or_else(|error| error.message().to_owned(), |()| String::new());
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
        ("input { }", "model input must specify 'name'"),
        ("input { name: 'x' dims: 1 }", "model input 'x' must specify 'data_type'"),
        ("input { name: 'x' data_type: TYPE_FP32 }", "model input 'x' must specify 'dims'"),
        ("output { name: 'x' data_type: TYPE_FP32 }", "model output 'x' must specify 'dims'"),
        (
            "input { name: 'x' data_type: TYPE_FP32 dims: [ 1, 0 ] }",
            "model input 'x' dimension must be integer >= 1, or -1 to indicate a variable-size dimension, got 0",
        ),
        (
            "input { name: 'x' data_type: TYPE_FP32 dims: [ 1 ] format: FORMAT_NHWC }",
            "model input NHWC/NCHW require 3 dims",
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
