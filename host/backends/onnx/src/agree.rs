//! The check that a configuration and a file speak of the same tensors; done at every load, completed or not.

use nereid_backend::BatchForms;
use nereid_inference::{
    InferError, ModelConfig,
    config::{CONTROL_DIMS, ConfigDataType, SequenceBatching},
};

use crate::{complete::Declared, model_file::FileTensor};

/// One tensor as the configuration has it, in the backend's form.
struct Written<'a> {
    /// `input` or `output`.
    role: &'static str,
    name: &'a str,
    data_type: ConfigDataType,
    /// As the file should declare it; `None` where the configuration does not say.
    shape: Option<Vec<i64>>,
}

/// What a ragged input is in the file: the elements of all requests.
const FLAT: [i64; 1] = [-1];

/// Compares names, types and shapes.
///
/// # Errors
/// `InvalidArgument`, with both sides.
pub(crate) fn check(model_config: &ModelConfig, declared: Declared<'_>, file_name: &str) -> Result<(), InferError> {
    let failed = |text: String| InferError::invalid_argument(format!("model '{}': {text}", model_config.name));
    let forms = BatchForms::of(model_config)?;
    let max_batch_size = model_config.max_batch_size;
    let known_inputs: Vec<&FileTensor> = declared.inputs.iter().chain(declared.defaults).collect();
    check_ragged(model_config, &known_inputs)?;
    for written in inputs(model_config, &forms) {
        check_tensor(&written, &known_inputs, max_batch_size, file_name).map_err(failed)?;
    }
    let known_outputs: Vec<&FileTensor> = declared.outputs.iter().collect();
    for written in outputs(model_config, &forms) {
        check_tensor(&written, &known_outputs, max_batch_size, file_name).map_err(failed)?;
    }
    let is_written = |tensor: &&FileTensor| inputs(model_config, &forms).any(|written| written.name == tensor.name);
    if let Some(missing) = declared.inputs.iter().find(|tensor| !is_written(tensor)) {
        let text = format!("input {} of {file_name} is missing from the configuration", print_declared(missing));
        return Err(failed(text));
    }
    if model_config.outputs.is_empty() {
        return Err(failed(format!("{file_name} has no output that can be served and the configuration names none")));
    }
    Ok(())
}

/// Everything that a run is given: by clients, by the host about the batch, and by the host about sequences.
fn inputs<'a>(model_config: &'a ModelConfig, forms: &'a BatchForms) -> impl Iterator<Item = Written<'a>> {
    let batching = model_config.has_batching();
    let clients = model_config.inputs.iter().map(move |input| {
        let shape = match input.allow_ragged_batch {
            true => FLAT.to_vec(),
            false => with_batch(input.backend_dims(), batching),
        };
        Written { role: "input", name: &input.name, data_type: input.data_type, shape: Some(shape) }
    });
    let made = forms.tensors().iter().map(|tensor| Written {
        role: "input",
        name: tensor.name(),
        data_type: tensor.data_type().into(),
        shape: Some(tensor.dims()),
    });
    let sequences = model_config.sequences().into_iter().flat_map(given_inputs);
    let given = sequences.map(move |(name, data_type, dims)| Written {
        role: "input",
        name,
        data_type,
        shape: Some(with_batch(dims, batching)),
    });
    clients.chain(made).chain(given)
}

/// Everything that a run gives: what clients see, and what the host keeps.
fn outputs<'a>(model_config: &'a ModelConfig, forms: &'a BatchForms) -> impl Iterator<Item = Written<'a>> {
    let batching = model_config.has_batching();
    let clients = model_config.outputs.iter().map(move |output| {
        // One that is cut by an input's shape may have any shape of its own.
        let is_cut = forms.cut_of(&output.name).is_some();
        let shape = (!is_cut).then(|| with_batch(output.backend_dims(), batching));
        Written { role: "output", name: &output.name, data_type: output.data_type, shape }
    });
    let sequences = model_config.sequences();
    let kept = sequences.into_iter().flat_map(|sequences| &sequences.states).map(move |state| Written {
        role: "output",
        name: &state.output_name,
        data_type: state.data_type,
        shape: Some(with_batch(&state.dims, batching)),
    });
    clients.chain(kept)
}

/// The inputs that the host gives to models of sequences.
fn given_inputs(sequences: &SequenceBatching) -> impl Iterator<Item = (&str, ConfigDataType, &[i64])> {
    let controls = sequences.control_types().map(|(name, data_type)| (name, data_type, CONTROL_DIMS.as_slice()));
    let states = sequences.states.iter().map(|state| (state.input_name.as_str(), state.data_type, &*state.dims));
    controls.chain(states)
}

fn with_batch(dims: &[i64], batching: bool) -> Vec<i64> {
    batching.then_some(-1).into_iter().chain(dims.iter().copied()).collect()
}

/// A ragged input is one dimension in the file, and there in every request: Triton's words for ONNX models.
fn check_ragged(model_config: &ModelConfig, known: &[&FileTensor]) -> Result<(), InferError> {
    let name = &model_config.name;
    for input in model_config.inputs.iter().filter(|input| input.allow_ragged_batch) {
        let provides = known.iter().find(|tensor| tensor.name == input.name).map(|tensor| &tensor.dims);
        let problem = match provides {
            _ if input.optional => "which is not supported for optional input".to_owned(),
            Some(dims) if !shapes_agree(&FLAT, dims) => format!("model provides {}", print_dims(dims)),
            _ => continue,
        };
        return Err(InferError::invalid_argument(format!(
            "unable to load model '{name}', configuration expects model provides input with shape [-1] for ragged input \
             '{}', {problem}",
            input.name
        )));
    }
    Ok(())
}

fn check_tensor(
    written: &Written<'_>,
    known: &[&FileTensor],
    max_batch_size: i32,
    file_name: &str,
) -> Result<(), String> {
    let role = written.role;
    let Some(tensor) = known.iter().find(|tensor| tensor.name == written.name) else {
        let names: Vec<String> = known.iter().map(|tensor| print_declared(tensor)).collect();
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
    let shape = written.shape.as_ref().unwrap_or(&tensor.dims);
    if written.data_type == data_type.into() && shapes_agree(shape, &tensor.dims) {
        return Ok(());
    }
    let fixed_batch = max_batch_size > 0 && tensor.dims.first().is_some_and(|first| *first != -1);
    Err(format!(
        "{role} '{}' is {} {} in the configuration (max_batch_size {max_batch_size}), but {} {} in {file_name}{}",
        written.name,
        written.data_type.config_name(),
        print_dims(shape),
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
mod tests;
