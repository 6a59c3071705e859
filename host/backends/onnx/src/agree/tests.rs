//! Configurations that agree with a file, and the two sides of those that do not.

use nereid_inference::config::{
    BatchInput, BatchInputKind, BatchOutput, ControlInput, ControlSpec, ModelInput, ModelOutput, Reshape, Scheduling,
    StateSpec,
};
use nereid_tensor::DataType;

use super::*;

fn tensor(name: &str, data_type: DataType, dims: &[i64]) -> FileTensor {
    FileTensor { name: name.into(), data_type: Some(data_type), dims: dims.to_vec(), description: String::new() }
}

/// The error for a configuration with these inputs against a file with input `x` FP32 [-1,4] and output `y`.
fn check_inputs(inputs: &[(&str, DataType, &[i64])], max_batch_size: i32, expected: Option<&str>) {
    let inputs = inputs.iter().map(|(name, data_type, dims)| ModelInput {
        name: (*name).into(),
        data_type: (*data_type).into(),
        dims: dims.to_vec(),
        ..ModelInput::default()
    });
    let output =
        ModelOutput { name: "y".into(), data_type: DataType::Int64.into(), dims: vec![2], ..ModelOutput::default() };
    let config = ModelConfig {
        name: "m".into(),
        max_batch_size,
        inputs: inputs.collect(),
        outputs: vec![output],
        ..ModelConfig::default()
    };
    let declared_inputs = [tensor("x", DataType::Fp32, &[-1, 4])];
    let declared_outputs = [tensor("y", DataType::Int64, &[-1, 2])];
    let declared = Declared { inputs: &declared_inputs, outputs: &declared_outputs, defaults: &[] };
    let result = check(&config, declared, "model.onnx");
    assert_eq!(result.as_ref().err().map(InferError::message), expected);
}

#[test]
fn agrees_with_the_same_tensors() {
    check_inputs(&[("x", DataType::Fp32, &[4])], 8, None);
}

#[test]
fn control_inputs_and_state_come_from_the_host_and_must_be_in_the_file() {
    let sequences = |text: &str| {
        let start = ControlSpec { int32_false_true: vec![0, 1], ..ControlSpec::default() };
        let state = StateSpec {
            input_name: "in".into(),
            output_name: "out".into(),
            data_type: DataType::Fp32.into(),
            dims: vec![4],
            ..StateSpec::default()
        };
        SequenceBatching {
            control_inputs: vec![ControlInput { name: text.into(), controls: vec![start] }],
            states: vec![state],
            ..SequenceBatching::default()
        }
    };
    let declared_inputs = [tensor("start", DataType::Int32, &[-1, 1]), tensor("in", DataType::Fp32, &[-1, 4])];
    let declared_outputs = [tensor("out", DataType::Fp32, &[-1, 4]), tensor("y", DataType::Int64, &[-1, 2])];
    let declared = Declared { inputs: &declared_inputs, outputs: &declared_outputs, defaults: &[] };
    let check = |text: &str| {
        let scheduling = Some(Scheduling::Sequence(sequences(text)));
        let config = ModelConfig { name: "m".into(), max_batch_size: 8, scheduling, ..ModelConfig::default() };
        let completed = crate::complete::complete(&config, declared, 4);
        assert!(completed.inputs.len() < 2, "{:?}", completed.inputs);
        assert_eq!(completed.outputs.len(), 1, "state is not an output unless it is written as one");
        check(&completed, declared, "model.onnx").map_err(|error| error.message().to_owned())
    };
    assert_eq!(check("start"), Ok(()));
    let text = check("begin").unwrap_err();
    assert!(text.contains("the configuration names input 'begin', which model.onnx does not have"), "{text}");
}

#[test]
fn a_contradiction_shows_both_sides() {
    check_inputs(
        &[("x", DataType::Int32, &[4])],
        8,
        Some(
            "model 'm': input 'x' is TYPE_INT32 [-1,4] in the configuration (max_batch_size 8), but TYPE_FP32 [-1,4] \
             in model.onnx",
        ),
    );
    check_inputs(
        &[("x", DataType::Fp32, &[5])],
        8,
        Some(
            "model 'm': input 'x' is TYPE_FP32 [-1,5] in the configuration (max_batch_size 8), but TYPE_FP32 [-1,4] \
             in model.onnx",
        ),
    );
}

#[test]
fn a_name_that_one_side_lacks_is_told() {
    check_inputs(
        &[("z", DataType::Fp32, &[4])],
        8,
        Some(
            "model 'm': the configuration names input 'z', which model.onnx does not have; its inputs are 'x' \
             TYPE_FP32 [-1,4]",
        ),
    );
    check_inputs(&[], 8, Some("model 'm': input 'x' TYPE_FP32 [-1,4] of model.onnx is missing from the configuration"));
}

#[test]
fn a_model_that_cannot_batch_says_what_to_set() {
    let fixed = [tensor("x", DataType::Fp32, &[1, 4])];
    let shape = Some(vec![-1, 4]);
    let written = Written { role: "input", name: "x", data_type: DataType::Fp32.into(), shape };
    let text = check_tensor(&written, &[&fixed[0]], 8, "model.onnx").unwrap_err();
    assert!(text.ends_with("its first dimension is fixed, so it cannot batch: set max_batch_size to 0"), "{text}");
}

fn input(name: &str, dims: &[i64]) -> ModelInput {
    ModelInput { name: name.into(), data_type: DataType::Fp32.into(), dims: dims.to_vec(), ..ModelInput::default() }
}

/// The error for a configuration with this input and whatever `more` writes, against a file with these inputs.
fn check_with(input: ModelInput, file: &[FileTensor], more: impl FnOnce(&mut ModelConfig)) -> String {
    let data_type = DataType::Fp32.into();
    let output = ModelOutput { name: "y".into(), data_type, dims: vec![-1], ..ModelOutput::default() };
    let mut config = ModelConfig {
        name: "m".into(),
        max_batch_size: 8,
        inputs: vec![input],
        outputs: vec![output],
        ..ModelConfig::default()
    };
    more(&mut config);
    let outputs = [tensor("y", DataType::Fp32, &[-1])];
    let declared = Declared { inputs: file, outputs: &outputs, defaults: &[] };
    check(&config, declared, "model.onnx").map_or_else(|error| error.message().to_owned(), |()| String::new())
}

fn cut_output(config: &mut ModelConfig) {
    let (target_names, source_inputs) = (vec!["y".into()], vec!["x".into()]);
    config.batch_outputs = vec![BatchOutput { target_names, source_inputs, ..BatchOutput::default() }];
}

#[test]
fn a_reshaped_input_is_compared_as_the_model_sees_it() {
    let reshaped =
        |shape: &[i64]| ModelInput { reshape: Some(Reshape { shape: shape.to_vec() }), ..input("x", &[-1, 4]) };
    let file = [tensor("x", DataType::Fp32, &[-1, -1, 2, 2])];
    assert_eq!(check_with(reshaped(&[-1, 2, 2]), &file, cut_output), "");
    let text = check_with(reshaped(&[-1, 4, 1]), &file, cut_output);
    assert!(text.starts_with("model 'm': input 'x' is TYPE_FP32 [-1,-1,4,1] in the configuration"), "{text}");
}

#[test]
fn a_ragged_input_is_one_dimension_in_the_file() {
    let ragged = || ModelInput { allow_ragged_batch: true, ..input("x", &[-1]) };
    assert_eq!(check_with(ragged(), &[tensor("x", DataType::Fp32, &[-1])], cut_output), "");
    let expects = "unable to load model 'm', configuration expects model provides input with shape [-1] for ragged \
                   input 'x', ";
    for dims in [[-1, -1].as_slice(), &[16]] {
        let text = check_with(ragged(), &[tensor("x", DataType::Fp32, dims)], cut_output);
        assert_eq!(text, format!("{expects}model provides {}", print_dims(dims)));
    }
    let optional = ModelInput { optional: true, ..ragged() };
    let text = check_with(optional, &[tensor("x", DataType::Fp32, &[-1])], cut_output);
    assert_eq!(text, format!("{expects}which is not supported for optional input"));
}

#[test]
fn an_output_of_rows_must_have_them_unless_it_is_cut() {
    let file = [tensor("x", DataType::Fp32, &[-1, -1])];
    let text = check_with(input("x", &[-1]), &file, |_| ());
    assert!(text.starts_with("model 'm': output 'y' is TYPE_FP32 [-1,-1] in the configuration"), "{text}");
    assert_eq!(check_with(input("x", &[-1]), &file, cut_output), "");
}

#[test]
fn a_tensor_about_the_batch_must_be_in_the_file() {
    let about = |kind, data_type: DataType| {
        move |config: &mut ModelConfig| {
            cut_output(config);
            let (target_names, source_inputs) = (vec!["t".into()], vec!["x".into()]);
            config.batch_inputs = vec![BatchInput { kind, target_names, data_type: data_type.into(), source_inputs }];
        }
    };
    let file = |dims: &[i64]| [tensor("x", DataType::Fp32, &[-1, -1]), tensor("t", DataType::Int32, dims)];
    let check = |dims: &[i64], kind, data_type| check_with(input("x", &[-1]), &file(dims), about(kind, data_type));
    assert_eq!(check(&[-1], BatchInputKind::ElementCount, DataType::Int32), "");
    assert_eq!(check(&[-1, 1], BatchInputKind::ItemShape, DataType::Int32), "");
    let text = check(&[-1, 2], BatchInputKind::ItemShape, DataType::Int32);
    assert!(text.starts_with("model 'm': input 't' is TYPE_INT32 [-1,1] in the configuration"), "{text}");
    let text = check(&[-1], BatchInputKind::ElementCount, DataType::Fp32);
    assert!(text.contains("input 't' is TYPE_FP32 [-1] in the configuration"), "{text}");
    let text = check_with(input("x", &[-1]), &file(&[-1])[..1], about(BatchInputKind::ElementCount, DataType::Int32));
    assert!(text.contains("the configuration names input 't', which model.onnx does not have"), "{text}");
}

#[test]
fn an_input_with_a_value_in_the_file_may_be_named_and_need_not() {
    let (x, y) = ([tensor("x", DataType::Fp32, &[-1, 4])], [tensor("y", DataType::Fp32, &[-1, 4])]);
    let defaults = [tensor("factor", DataType::Fp32, &[-1, 1])];
    let declared = Declared { inputs: &x, outputs: &y, defaults: &defaults };
    let config = |inputs: Vec<ModelInput>| {
        let config = ModelConfig { name: "m".into(), max_batch_size: 8, inputs, ..ModelConfig::default() };
        crate::complete::complete(&config, declared, 4)
    };
    assert!(check(&config(vec![]), declared, "model.onnx").is_ok());
    let factor = ModelInput { optional: true, ..input("factor", &[1]) };
    assert!(check(&config(vec![factor]), declared, "model.onnx").is_ok());
    let wrong = ModelInput { optional: true, ..input("factor", &[2]) };
    assert!(check(&config(vec![wrong]), declared, "model.onnx").is_err());
}
