//! Where the requests of a branch stand in a sequence: as the client says, until a step says otherwise.

use nereid_inference::{ParameterValue, Parameters, SequenceFlags, SequenceId};

const SEQUENCE_ID: &str = "sequence_id";
const SEQUENCE_START: &str = "sequence_start";
const SEQUENCE_END: &str = "sequence_end";

/// What a request without a sequence says of it.
pub(super) const NO_SEQUENCE: SequenceFlags = SequenceFlags { id: SequenceId::Number(0), start: false, end: false };

/// A step may move the steps after it to another sequence, or to another place in it.
pub(super) fn read(sequence: &mut SequenceFlags, parameters: &Parameters) {
    match parameters.get(SEQUENCE_ID) {
        Some(ParameterValue::Int(id)) => sequence.id = SequenceId::Number(id.cast_unsigned()),
        Some(ParameterValue::Uint(id)) => sequence.id = SequenceId::Number(*id),
        Some(ParameterValue::String(id)) => sequence.id = SequenceId::Text(id.clone()),
        _ => {}
    }
    if let Some(ParameterValue::Bool(start)) = parameters.get(SEQUENCE_START) {
        sequence.start = *start;
    }
    if let Some(ParameterValue::Bool(end)) = parameters.get(SEQUENCE_END) {
        sequence.end = *end;
    }
}

/// What Triton's ensembles say of the sequence in every response with outputs, even where there is none.
pub(super) fn parameters(sequence: &SequenceFlags) -> Parameters {
    let mut parameters = Parameters::default();
    let id = match &sequence.id {
        SequenceId::Number(id) => ParameterValue::Int(id.cast_signed()),
        SequenceId::Text(id) => ParameterValue::String(id.clone()),
    };
    parameters.insert(SEQUENCE_ID, id);
    parameters.insert(SEQUENCE_START, ParameterValue::Bool(sequence.start));
    parameters.insert(SEQUENCE_END, ParameterValue::Bool(sequence.end));
    parameters
}
