//! A `ModelInferRequest` as a request of `nereid-inference`.

use std::{num::NonZeroU64, sync::Arc, time::Instant};

use nereid_inference::{InferError, InferRequest, MemoryRegions, SharedTensors};

use super::{
    inputs::{InputDecoder, refuse_duplicates},
    parameters::{RequestParameters, decode_parameters},
    proto::{ModelInferRequest, infer_parameter::ParameterChoice, model_infer_request::InferRequestedOutputTensor},
    shared_memory::{REGION_PARAMETER, RegionSpan},
};
use crate::classification::{CLASSIFICATION_PARAMETER, ClassCounts};

/// A request, and what the stream that carried it must know of it.
#[derive(Debug)]
pub struct DecodedRequest {
    pub request: InferRequest,
    /// Which outputs are answered as classes.
    pub classes: ClassCounts,
    /// What lies in the client's own memory; settles the answer.
    pub shared: SharedTensors,
    /// The client wants to be told the end of its responses even when no response carries it.
    pub empty_final_response: bool,
}

/// Decodes everything but the model's name and version, which were needed to find the model before.
///
/// # Errors
/// `InvalidArgument` for whatever the message says wrongly, `NotFound` for regions of shared memory that are not
/// registered.
pub fn decode_infer_request(
    message: ModelInferRequest,
    received: Instant,
    regions: &dyn MemoryRegions,
) -> Result<DecodedRequest, InferError> {
    let ModelInferRequest { model_name, id, parameters, inputs, outputs, raw_input_contents, .. } = message;
    let RequestParameters { sequence, priority, timeout, empty_final_response, custom } =
        decode_parameters(parameters)?;
    let mut shared = SharedTensors::default();
    let (requested_outputs, classes) = decode_outputs(outputs, regions, &mut shared)?;
    let mut request = InferRequest {
        id,
        inputs: Vec::new(),
        requested_outputs,
        output_memory: shared.outputs().to_vec(),
        takes_device_memory: shared.takes_device_memory(),
        parameters: custom,
        priority,
        timeout,
        sequence,
        received,
        callers: None,
        tenant: None,
        trace: None,
        ticket: None,
    };
    let decoder = InputDecoder::new(&model_name, &request, raw_input_contents);
    request.inputs = decoder.decode(inputs, regions, &mut shared)?;
    Ok(DecodedRequest { request, classes, shared, empty_final_response })
}

fn decode_outputs(
    outputs: Vec<InferRequestedOutputTensor>,
    regions: &dyn MemoryRegions,
    shared: &mut SharedTensors,
) -> Result<(Vec<Arc<str>>, ClassCounts), InferError> {
    refuse_duplicates("output", outputs.iter().map(|output| output.name.as_str()))?;
    let mut names: Vec<Arc<str>> = Vec::with_capacity(outputs.len());
    let mut classes = ClassCounts::default();
    for output in outputs {
        let count = class_count(&output)?;
        let span = RegionSpan::parse(&output.name, &output.parameters)?;
        let memory = span.map(|span| span.find(regions)).transpose()?;
        let name: Arc<str> = output.name.into();
        if let Some(memory) = memory {
            shared.add_output(name.clone(), memory);
        }
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
    if output.parameters.contains_key(REGION_PARAMETER) {
        let text = "output can't set both 'shared_memory_region' and 'classification'";
        return Err(InferError::invalid_argument(text));
    }
    Ok(Some(count))
}

#[cfg(test)]
mod tests;
