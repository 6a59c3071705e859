//! The check that a configuration and a file speak of the same tensors; done at every load, completed or not.

use nereid_inference::{
    InferError, ModelConfig,
    config::{CONTROL_DIMS, ConfigDataType, Reshape, SequenceBatching},
};

use crate::{complete::Declared, model_file::FileTensor};

/// One tensor as the configuration has it.
struct Written<'a> {
    /// `input` or `output`.
    role: &'static str,
    name: &'a str,
    data_type: ConfigDataType,
    dims: &'a [i64],
    reshape: Option<&'a Reshape>,
}

/// Compares names, types and shapes.
///
/// # Errors
/// `InvalidArgument`, with both sides.
pub(crate) fn check(model_config: &ModelConfig, declared: Declared<'_>, file_name: &str) -> Result<(), InferError> {
    let failed = |text: String| InferError::invalid_argument(format!("model '{}': {text}", model_config.name));
    let inputs = model_config.inputs.iter().map(|input| Written {
        role: "input",
        name: &input.name,
        data_type: input.data_type,
        dims: &input.dims,
        reshape: input.reshape.as_ref(),
    });
    let outputs = model_config.outputs.iter().map(|output| Written {
        role: "output",
        name: &output.name,
        data_type: output.data_type,
        dims: &output.dims,
        reshape: output.reshape.as_ref(),
    });
    let sequences = model_config.sequences();
    for written in inputs.chain(sequences.into_iter().flat_map(given_inputs)) {
        check_tensor(&written, declared.inputs, model_config.max_batch_size, file_name).map_err(failed)?;
    }
    for written in outputs.chain(sequences.into_iter().flat_map(kept_outputs)) {
        check_tensor(&written, declared.outputs, model_config.max_batch_size, file_name).map_err(failed)?;
    }
    let is_written = |tensor: &&FileTensor| {
        model_config.inputs.iter().any(|input| input.name == tensor.name)
            || sequences.is_some_and(|sequences| sequences.gives_input(&tensor.name))
    };
    if let Some(missing) = declared.inputs.iter().find(|tensor| !is_written(tensor)) {
        let text = format!("input {} of {file_name} is missing from the configuration", print_declared(missing));
        return Err(failed(text));
    }
    if model_config.outputs.is_empty() {
        return Err(failed(format!("{file_name} has no output that can be served and the configuration names none")));
    }
    Ok(())
}

/// The inputs that the host gives to models of sequences.
fn given_inputs(sequences: &SequenceBatching) -> impl Iterator<Item = Written<'_>> {
    let controls = sequences.control_types().map(|(name, data_type)| (name, data_type, CONTROL_DIMS.as_slice()));
    let states = sequences.states.iter().map(|state| (state.input_name.as_str(), state.data_type, &*state.dims));
    controls.chain(states).map(|(name, data_type, dims)| Written {
        role: "input",
        name,
        data_type,
        dims,
        reshape: None,
    })
}

/// The outputs that it keeps.
fn kept_outputs(sequences: &SequenceBatching) -> impl Iterator<Item = Written<'_>> {
    sequences.states.iter().map(|state| Written {
        role: "output",
        name: &state.output_name,
        data_type: state.data_type,
        dims: &state.dims,
        reshape: None,
    })
}

fn check_tensor(
    written: &Written<'_>,
    declared: &[FileTensor],
    max_batch_size: i32,
    file_name: &str,
) -> Result<(), String> {
    let role = written.role;
    let Some(tensor) = declared.iter().find(|tensor| tensor.name == written.name) else {
        let names: Vec<String> = declared.iter().map(print_declared).collect();
        return Err(format!(
            "the configuration names {role} '{}', which {file_name} does not have; its {role}s are {}",
            written.name,
            names.join(", ")
        ));
    };
    let Some(data_type) = tensor.data_type else {
        let description = &tensor.description;
        return Err(format!("{role} '{}' of {file_name} is {description}, which cannot be served", tensor.name));
    };
    let inner = written.reshape.map_or(written.dims, |reshape| &reshape.shape);
    let shape: Vec<i64> = (max_batch_size > 0).then_some(-1).into_iter().chain(inner.iter().copied()).collect();
    if written.data_type == data_type.into() && shapes_agree(&shape, &tensor.dims) {
        return Ok(());
    }
    let fixed_batch = max_batch_size > 0 && tensor.dims.first().is_some_and(|first| *first != -1);
    Err(format!(
        "{role} '{}' is {} {} in the configuration (max_batch_size {max_batch_size}), but {} {} in {file_name}{}",
        written.name,
        written.data_type.config_name(),
        print_dims(&shape),
        ConfigDataType::from(data_type).config_name(),
        print_dims(&tensor.dims),
        if fixed_batch { "; its first dimension is fixed, so it cannot batch: set max_batch_size to 0" } else { "" }
    ))
}

/// Where the file leaves a dimension open the configuration may be narrower; a file without dims says nothing.
fn shapes_agree(written: &[i64], declared: &[i64]) -> bool {
    declared.is_empty()
        || written.len() == declared.len()
            && written.iter().zip(declared).all(|(written, declared)| *declared == -1 || written == declared)
}

fn print_declared(tensor: &FileTensor) -> String {
    match tensor.data_type {
        Some(data_type) => {
            format!("'{}' {} {}", tensor.name, ConfigDataType::from(data_type).config_name(), print_dims(&tensor.dims))
        }
        None => format!("'{}' {}", tensor.name, tensor.description),
    }
}

fn print_dims(dims: &[i64]) -> String {
    let texts: Vec<String> = dims.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::{ControlInput, ControlSpec, ModelInput, ModelOutput, Scheduling, StateSpec};
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
        let output = ModelOutput {
            name: "y".into(),
            data_type: DataType::Int64.into(),
            dims: vec![2],
            ..ModelOutput::default()
        };
        let config = ModelConfig {
            name: "m".into(),
            max_batch_size,
            inputs: inputs.collect(),
            outputs: vec![output],
            ..ModelConfig::default()
        };
        let declared_inputs = [tensor("x", DataType::Fp32, &[-1, 4])];
        let declared_outputs = [tensor("y", DataType::Int64, &[-1, 2])];
        let declared = Declared { inputs: &declared_inputs, outputs: &declared_outputs };
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
        let declared = Declared { inputs: &declared_inputs, outputs: &declared_outputs };
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
        check_inputs(
            &[],
            8,
            Some("model 'm': input 'x' TYPE_FP32 [-1,4] of model.onnx is missing from the configuration"),
        );
    }

    #[test]
    fn a_model_that_cannot_batch_says_what_to_set() {
        let fixed = [tensor("x", DataType::Fp32, &[1, 4])];
        let written = Written { role: "input", name: "x", data_type: DataType::Fp32.into(), dims: &[4], reshape: None };
        let text = check_tensor(&written, &fixed, 8, "model.onnx").unwrap_err();
        assert!(text.ends_with("its first dimension is fixed, so it cannot batch: set max_batch_size to 0"), "{text}");
    }
}
