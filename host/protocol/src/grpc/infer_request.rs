//! A `ModelInferRequest` as a request of `nereid-inference`.

use std::{num::NonZeroU64, sync::Arc, time::Instant};

use nereid_inference::{InferError, InferRequest};

use super::{
    inputs::{InputDecoder, refuse_duplicates},
    parameters::{RequestParameters, decode_parameters, refuse_shared_memory},
    proto::{ModelInferRequest, infer_parameter::ParameterChoice, model_infer_request::InferRequestedOutputTensor},
};
use crate::classification::{CLASSIFICATION_PARAMETER, ClassCounts};

/// A request, and what the stream that carried it must know of it.
#[derive(Debug)]
pub struct DecodedRequest {
    pub request: InferRequest,
    /// Which outputs are answered as classes.
    pub classes: ClassCounts,
    /// The client wants to be told the end of its responses even when no response carries it.
    pub empty_final_response: bool,
}

/// Decodes everything but the model's name and version, which were needed to find the model before.
///
/// # Errors
/// `InvalidArgument` for whatever the message says wrongly, `Unsupported` for extensions that are not served.
pub fn decode_infer_request(message: ModelInferRequest, received: Instant) -> Result<DecodedRequest, InferError> {
    let ModelInferRequest { model_name, id, parameters, inputs, outputs, raw_input_contents, .. } = message;
    let RequestParameters { sequence, priority, timeout, empty_final_response, custom } =
        decode_parameters(parameters)?;
    let (requested_outputs, classes) = decode_outputs(outputs)?;
    let mut request = InferRequest {
        id,
        inputs: Vec::new(),
        requested_outputs,
        output_memory: Vec::new(),
        parameters: custom,
        priority,
        timeout,
        sequence,
        received,
        callers: None,
    };
    request.inputs = InputDecoder::new(&model_name, &request, raw_input_contents).decode(inputs)?;
    Ok(DecodedRequest { request, classes, empty_final_response })
}

fn decode_outputs(outputs: Vec<InferRequestedOutputTensor>) -> Result<(Vec<Arc<str>>, ClassCounts), InferError> {
    refuse_duplicates("output", outputs.iter().map(|output| output.name.as_str()))?;
    let mut names: Vec<Arc<str>> = Vec::with_capacity(outputs.len());
    let mut classes = ClassCounts::default();
    for output in outputs {
        let count = class_count(&output)?;
        refuse_shared_memory("output", &output.name, &output.parameters)?;
        let name: Arc<str> = output.name.into();
        if let Some(count) = count {
            classes.insert(name.clone(), count);
        }
        names.push(name);
    }
    Ok((names, classes))
}

/// How many classes the output is to be answered with, if it is.
fn class_count(output: &InferRequestedOutputTensor) -> Result<Option<NonZeroU64>, InferError> {
    let Some(parameter) = output.parameters.get(CLASSIFICATION_PARAMETER) else { return Ok(None) };
    let Some(ParameterChoice::Int64Param(count)) = parameter.parameter_choice else {
        let text = "invalid value type for 'classification' parameter, expected int64_param";
        return Err(InferError::invalid_argument(text));
    };
    let Some(count) = u64::try_from(count).ok().and_then(NonZeroU64::new) else {
        return Err(InferError::invalid_argument("invalid value for 'classification' parameter, expected >= 0"));
    };
    if output.parameters.contains_key("shared_memory_region") {
        let text = "output can't set both 'shared_memory_region' and 'classification'";
        return Err(InferError::invalid_argument(text));
    }
    Ok(Some(count))
}

#[cfg(test)]
mod tests;
