//! Iterative sequences: a model that is run again and again for one request, as long as an output of its own says so.
//!
//! The parameter `iterate_while` names the output: a `BOOL` per row. A decoder, a solver or a simulation is thus exported
//! as one step with its state, and the host runs the steps, each batched with the steps of whatever else is under way.
//! Triton leaves this to backends in Python; an ONNX model has no other way to say that it is not done.

use std::sync::Arc;

use nereid_backend::Batch;
use nereid_inference::{InferError, InferResponse, ModelConfig, Signature};
use nereid_tensor::DataType;

/// The configuration parameter that names the output.
const PARAMETER: &str = "iterate_while";

/// The output that says whether a request is run again; `None` for models whose requests are run once.
///
/// # Errors
/// Parameter and `iterative_sequence` are not there together, or the output is not a `BOOL` with one element per row.
pub(crate) fn output(model_config: &ModelConfig, signature: &Signature) -> Result<Option<Arc<str>>, InferError> {
    let invalid = |text: String| InferError::invalid_argument(format!("model '{}': {text}", model_config.name));
    let is_iterative = model_config.sequences().is_some_and(|sequences| sequences.iterative_sequence);
    let name = match (is_iterative, model_config.parameter(PARAMETER)) {
        (false, None) => return Ok(None),
        (true, Some(name)) => name,
        (true, None) => {
            return Err(invalid(format!(
                "'sequence_batching.iterative_sequence' is true, but nothing says when a request is run again: name an \
                 output of type BOOL, parameters {{ key: \"{PARAMETER}\" value {{ string_value: \"MORE\" }} }}"
            )));
        }
        (false, Some(_)) => {
            return Err(invalid(format!(
                "parameter '{PARAMETER}' needs sequence_batching {{ iterative_sequence: true }}"
            )));
        }
    };
    let found = signature.outputs.iter().find(|output| &*output.name == name);
    let Some(output) = found else {
        return Err(invalid(format!("parameter '{PARAMETER}' is '{name}', which is not an output of the model")));
    };
    if output.data_type != DataType::Bool || output.dims != [1] {
        return Err(invalid(format!(
            "parameter '{PARAMETER}' is '{name}', an output of type {} and dims {:?}, expected BOOL and [1]",
            output.data_type, output.dims
        )));
    }
    Ok(Some(output.name.clone()))
}

/// Answers the request at `index`, or leaves it for another run.
pub(crate) fn conclude(batch: &mut Batch, index: usize, mut response: InferResponse, iterate_while: Option<&str>) {
    let Some(name) = iterate_while else { return batch.respond(index, Ok(response)) };
    let says_yes = response.output(name).is_some_and(|output| output.buffer().as_slice().iter().any(|byte| *byte != 0));
    if let Some(sender) = says_yes.then(|| batch.take_sender(index)).flatten() {
        return batch.reschedule(index, sender, response);
    }
    if !batch.requests().nth(index).is_some_and(|request| request.wants(name)) {
        response.outputs.retain(|output| &*output.name != name);
    }
    batch.respond(index, Ok(response));
}

#[cfg(test)]
mod tests {
    use nereid_inference::{
        TensorSpec,
        config::{Scheduling, SequenceBatching},
    };

    use super::*;

    #[track_caller]
    fn check(is_iterative: bool, parameter: Option<&str>, data_type: DataType, expected: Result<Option<&str>, &str>) {
        let sequences = SequenceBatching { iterative_sequence: is_iterative, ..SequenceBatching::default() };
        let parameters = parameter.map(|name| (PARAMETER.to_owned(), name.to_owned())).into_iter().collect();
        let scheduling = Some(Scheduling::Sequence(sequences));
        let config = ModelConfig { name: "m".into(), scheduling, parameters, ..ModelConfig::default() };
        let more = TensorSpec { name: "MORE".into(), data_type, dims: vec![1], optional: false };
        let signature = Signature { outputs: vec![more], ..Signature::default() };
        match (output(&config, &signature), expected) {
            (Ok(found), expected) => assert_eq!(Ok(found.as_deref()), expected),
            (Err(error), Err(text)) => assert!(error.message().contains(text), "{error}"),
            (Err(error), Ok(_)) => panic!("{error}"),
        }
    }

    #[test]
    fn parameter_and_field_belong_together() {
        check(false, None, DataType::Bool, Ok(None));
        check(true, Some("MORE"), DataType::Bool, Ok(Some("MORE")));
        check(true, None, DataType::Bool, Err("nothing says when a request is run again"));
        check(false, Some("MORE"), DataType::Bool, Err("needs sequence_batching { iterative_sequence: true }"));
    }

    #[test]
    fn the_output_must_be_there_and_say_yes_or_no() {
        check(true, Some("LESS"), DataType::Bool, Err("is 'LESS', which is not an output of the model"));
        check(true, Some("MORE"), DataType::Fp32, Err("an output of type FP32 and dims [1], expected BOOL and [1]"));
    }
}
