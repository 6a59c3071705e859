//! What a configuration's `sequence_batching` means for the scheduler: the strategy, and the tensors that the host makes.
//!
//! Refuses, in Triton's words where it has any, state that cannot be given. Reads the files of initial states, once.

use std::{path::Path, sync::Arc, time::Duration};

use nereid_inference::{
    InferError, ModelSource, NamedTensor,
    config::{
        ConfigDataType, ControlInput, ControlKind, ControlSpec, InitialState, InitialStateData, SequenceBatching,
        SequenceStrategy as Strategy, StateSpec,
    },
};
use nereid_scheduler::{
    CorrelationInput, DirectSettings, SequenceSettings, SequenceStrategy, SequenceTensors, Signal, SignalKind,
    StateInput,
};
use nereid_tensor::{BufferMut, DataType, Shape, Tensor};

use crate::model_file;

/// Folder of initial states in a model's directory.
const INITIAL_STATE_FOLDER: &str = "initial_state";

/// Initial state from a file. Every sequence refers to the same bytes; a larger one is a mistake in a name.
const INITIAL_STATE_BYTES_MAX: u64 = 1 << 30;

/// Sequences that one instance may have at a time. Each costs some hundred bytes, and its state.
const SLOTS_MAX: usize = 65_536;

/// The settings of a model that serves sequences.
///
/// # Errors
/// `InvalidArgument`: a control or a state that cannot be made.
pub(crate) fn sequence_settings(
    source: &ModelSource,
    sequences: &SequenceBatching,
) -> Result<SequenceSettings, InferError> {
    let config = &source.config;
    let rows = usize::try_from(config.max_batch_size).unwrap_or(1).max(1);
    let (strategy, slots) = match &sequences.strategy {
        Some(Strategy::Oldest { max_candidate_sequences, .. }) => {
            let candidates = usize::try_from(*max_candidate_sequences).ok().filter(|candidates| *candidates > 0);
            (SequenceStrategy::Oldest, candidates.unwrap_or(rows))
        }
        Some(Strategy::Direct { max_queue_delay_microseconds, minimum_slot_utilization }) => {
            let direct = DirectSettings {
                delay_max: Duration::from_micros(*max_queue_delay_microseconds),
                slot_utilization_min: *minimum_slot_utilization,
            };
            (SequenceStrategy::Direct(direct), rows)
        }
        None => (SequenceStrategy::Direct(DirectSettings::default()), rows),
    };
    if slots > SLOTS_MAX {
        return Err(InferError::invalid_argument(format!(
            "model '{}' asks for {slots} sequences per instance, expected at most {SLOTS_MAX}",
            config.name
        )));
    }
    Ok(SequenceSettings {
        model_name: config.name.as_str().into(),
        strategy,
        slots,
        idle_max: Duration::from_micros(sequences.max_sequence_idle_microseconds),
        iterative: sequences.iterative_sequence,
        tensors: Arc::new(sequence_tensors(source, sequences)?),
    })
}

/// The tensors that clients neither send nor see.
///
/// # Errors
/// As [`sequence_settings`].
pub(crate) fn sequence_tensors(
    source: &ModelSource,
    sequences: &SequenceBatching,
) -> Result<SequenceTensors, InferError> {
    let batched = source.config.has_batching();
    let mut tensors = SequenceTensors::default();
    for input in &sequences.control_inputs {
        let Some(control) = input.controls.first() else { continue };
        match signal_kind(control.kind) {
            Some(kind) => tensors.signals.push(signal(input, control, kind, batched)?),
            None => tensors.correlation = Some(correlation(input, control, batched)?),
        }
    }
    for state in &sequences.states {
        let invalid = |text| InferError::invalid_argument(format!("model '{}': {text}", source.config.name));
        let initial = initial_state(state, &source.model_directory, batched).map_err(invalid)?;
        tensors.states.push(StateInput {
            input_name: state.input_name.as_str().into(),
            output_name: state.output_name.as_str().into(),
            initial,
            is_output: source.config.outputs.iter().any(|output| output.name == state.output_name),
        });
    }
    let outputs: Arc<[Arc<str>]> = tensors.states.iter().map(|state| state.output_name.clone()).collect();
    tensors.state_outputs = (!outputs.is_empty()).then_some(outputs);
    Ok(tensors)
}

/// What a request is told that is a sequence of its own: nothing for models without sequences.
///
/// # Errors
/// As [`sequence_settings`].
pub(crate) fn lone_request_inputs(source: &ModelSource) -> Result<Vec<NamedTensor>, InferError> {
    match source.config.sequences() {
        Some(sequences) => Ok(sequence_tensors(source, sequences)?.of_lone_request()),
        None => Ok(Vec::new()),
    }
}

fn signal_kind(kind: ControlKind) -> Option<SignalKind> {
    match kind {
        ControlKind::Start => Some(SignalKind::Start),
        ControlKind::End => Some(SignalKind::End),
        ControlKind::Ready => Some(SignalKind::Ready),
        ControlKind::CorrelationId => None,
    }
}

fn signal(input: &ControlInput, control: &ControlSpec, kind: SignalKind, batched: bool) -> Result<Signal, InferError> {
    let shape = || control_shape(batched);
    let incomplete = || {
        let name = &input.name;
        InferError::invalid_argument(format!("sequence batching control '{name}' must have exactly 2 entries"))
    };
    let pair = match (&*control.int32_false_true, &*control.fp32_false_true, &*control.bool_false_true) {
        ([when_false, when_true], [], []) => {
            [*when_false, *when_true].map(|value| Tensor::from_elements(shape(), &[value]))
        }
        ([], [when_false, when_true], []) => {
            [*when_false, *when_true].map(|value| Tensor::from_elements(shape(), &[value]))
        }
        ([], [], [when_false, when_true]) => {
            [*when_false, *when_true].map(|value| Tensor::new(DataType::Bool, shape(), vec![u8::from(value)].into()))
        }
        _ => return Err(incomplete()),
    };
    let [Ok(when_false), Ok(when_true)] = pair else { return Err(incomplete()) };
    Ok(Signal { name: input.name.as_str().into(), kind, when_false, when_true })
}

fn correlation(input: &ControlInput, control: &ControlSpec, batched: bool) -> Result<CorrelationInput, InferError> {
    let missing = || {
        let name = &input.name;
        InferError::invalid_argument(format!("sequence batching control '{name}' must specify 'data_type'"))
    };
    let data_type = control.data_type.known().ok_or_else(missing)?;
    Ok(CorrelationInput { name: input.name.as_str().into(), data_type, batched })
}

fn control_shape(batched: bool) -> Shape {
    if batched { Shape::from([1, 1]) } else { Shape::from([1]) }
}

/// What a sequence starts with. Without a word about it: zeros, with 1 for every open dimension.
fn initial_state(state: &StateSpec, model_directory: &Path, batched: bool) -> Result<Tensor, String> {
    let name = &state.input_name;
    let data_type = known(state.data_type, name)?;
    let Some(initial) = state.initial_states.first() else {
        let dims: Vec<i64> = state.dims.iter().map(|dim| (*dim).max(1)).collect();
        return zeros(data_type, state_shape(name, &dims, batched)?, name);
    };
    check_initial_state(state, initial)?;
    let shape = state_shape(name, &initial.dims, batched)?;
    match &initial.data {
        Some(InitialStateData::Zero(_)) => zeros(data_type, shape, name),
        Some(InitialStateData::File(file)) => from_file(data_type, shape, file, model_directory),
        None => Err(format!("initial_state setting expects state'{name}' to have state_data set")),
    }
}

fn check_initial_state(state: &StateSpec, initial: &InitialState) -> Result<(), String> {
    let name = &state.input_name;
    if state.initial_states.len() > 1 {
        return Err(format!(
            "initial_state field for state input '{name}' must contain exactly one or zero element. Found '{}' elements.",
            state.initial_states.len()
        ));
    }
    if initial.data_type != state.data_type {
        return Err(format!(
            "The data type used for 'initial_state' field of state '{name}' does not match the state data type."
        ));
    }
    if initial.name.is_empty() {
        return Err(format!("Field 'name' must be set when using initial_state for state input '{name}'."));
    }
    if initial.dims.len() != state.dims.len() {
        return Err(format!(
            "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input \
             '{name}'. {} != {}",
            initial.dims.len(),
            state.dims.len()
        ));
    }
    if initial.dims.iter().any(|dim| *dim < 0) {
        return Err(format!("'initial_state' field for state input name '{name}' contains variable dimensions."));
    }
    match initial.dims.iter().zip(&state.dims).find(|(initial, state)| **state >= 0 && initial != state) {
        Some((initial, state)) => Err(format!(
            "'initial_state' dim for input name '{name}' doesn't match 'state' dim description. {initial} != {state}"
        )),
        None => Ok(()),
    }
}

fn known(data_type: ConfigDataType, name: &str) -> Result<DataType, String> {
    data_type.known().ok_or_else(|| format!("state '{name}' must specify 'data_type'"))
}

fn state_shape(name: &str, dims: &[i64], batched: bool) -> Result<Shape, String> {
    let extents: Option<Vec<u64>> = dims.iter().map(|dim| u64::try_from(*dim).ok()).collect();
    let extents = extents.ok_or_else(|| format!("state '{name}' has a dimension below 1 other than -1"))?;
    Ok(batched.then_some(1).into_iter().chain(extents).collect())
}

/// Empty texts are four zero bytes each.
fn length_bytes(data_type: DataType, shape: &Shape) -> Option<usize> {
    match data_type {
        DataType::Bytes => shape.byte_size(DataType::Uint32),
        data_type => shape.byte_size(data_type),
    }
}

fn zeros(data_type: DataType, shape: Shape, name: &str) -> Result<Tensor, String> {
    let length_bytes = length_bytes(data_type, &shape).ok_or_else(|| format!("state '{name}' is too large"))?;
    Tensor::new(data_type, shape, BufferMut::zeroed(length_bytes).freeze()).map_err(|error| error.to_string())
}

fn from_file(data_type: DataType, shape: Shape, file: &str, model_directory: &Path) -> Result<Tensor, String> {
    let path = Path::new(INITIAL_STATE_FOLDER).join(file);
    let bytes = model_file::read(model_directory, &path, INITIAL_STATE_BYTES_MAX)
        .map_err(|problem| format!("initial state '{file}' {problem}"))?;
    let expected = length_bytes(data_type, &shape).ok_or_else(|| format!("initial state '{file}' is too large"))?;
    let used = match data_type {
        DataType::Bytes => Some(&*bytes),
        _ => bytes.get(..expected),
    };
    let used = used.ok_or_else(|| {
        let found = bytes.len();
        format!(
            "initial_state setting expects {expected} bytes, but the data provided from {file} only has {found} bytes."
        )
    })?;
    let buffer = BufferMut::copy_of(used).freeze();
    Tensor::new(data_type, shape, buffer).map_err(|error| format!("initial state '{file}': {error}"))
}

#[cfg(test)]
mod tests;
