//! A `ModelInferRequest` as a request of `nereid-inference`.

use std::{sync::Arc, time::Instant};

use nereid_inference::{InferError, InferRequest};

use super::{
    inputs::{InputDecoder, refuse_duplicates},
    parameters::{RequestParameters, decode_parameters, refuse_shared_memory},
    proto::{ModelInferRequest, model_infer_request::InferRequestedOutputTensor},
};

/// A request, and what the stream that carried it must know of it.
#[derive(Debug)]
pub struct DecodedRequest {
    pub request: InferRequest,
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
    let requested_outputs = decode_outputs(outputs)?;
    let mut request = InferRequest {
        id,
        inputs: Vec::new(),
        requested_outputs,
        parameters: custom,
        priority,
        timeout,
        sequence,
        received,
        callers: None,
    };
    request.inputs = InputDecoder::new(&model_name, &request, raw_input_contents).decode(inputs)?;
    Ok(DecodedRequest { request, empty_final_response })
}

fn decode_outputs(outputs: Vec<InferRequestedOutputTensor>) -> Result<Vec<Arc<str>>, InferError> {
    refuse_duplicates("output", outputs.iter().map(|output| output.name.as_str()))?;
    let mut names = Vec::with_capacity(outputs.len());
    for output in outputs {
        refuse_shared_memory("output", &output.name, &output.parameters)?;
        if output.parameters.contains_key("classification") {
            return Err(InferError::unsupported(format!(
                "parameter 'classification' of output '{}' is not supported by this server: ask for the output \
                 itself and rank it in the client",
                output.name
            )));
        }
        names.push(output.name.into());
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
