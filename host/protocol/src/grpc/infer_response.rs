//! Responses and failures as messages, one by one or on a stream.

use bytes::Bytes;
use nereid_inference::{InferError, InferResponse, ModelIdentity, SharedTensors};
use prost::Message;

use super::{
    parameters::{bool_parameter, encode_parameters},
    proto::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse, model_infer_response::InferOutputTensor},
};

/// Tells a stream's client whether more responses to the same request follow.
pub const FINAL_RESPONSE_PARAMETER: &str = "triton_final_response";

/// What a stream repeats of a request, so that its client knows which one is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEcho {
    id: String,
    model_name: String,
    model_version: String,
}

/// The message of one response. The tensors' buffers are handed over, not copied. An output in the client's own memory
/// has an empty entry, so that the others are found at their place.
pub fn encode_infer_response(
    model: &ModelIdentity,
    id: String,
    (response, shared): (InferResponse, &SharedTensors),
) -> ModelInferResponse {
    let mut outputs = Vec::with_capacity(response.outputs.len());
    let mut raw_output_contents = Vec::with_capacity(response.outputs.len());
    for output in response.outputs {
        outputs.push(InferOutputTensor {
            name: output.name.as_ref().to_owned(),
            datatype: output.tensor.data_type().name().to_owned(),
            shape: output.tensor.shape().to_signed(),
            ..InferOutputTensor::default()
        });
        raw_output_contents.push(match shared.has_output(&output.name) {
            true => Bytes::new(),
            false => output.tensor.into_buffer().into_bytes(),
        });
    }
    ModelInferResponse {
        model_name: model.name.as_ref().to_owned(),
        model_version: model.version.to_string(),
        id,
        parameters: encode_parameters(&response.parameters),
        outputs,
        raw_output_contents,
    }
}

/// Refuses a response that no client could receive.
///
/// # Errors
/// `InvalidArgument`, in Triton's words.
pub fn check_response_size(response: &ModelInferResponse, message_bytes_max: usize) -> Result<(), InferError> {
    match response.encoded_len() {
        fits if fits <= message_bytes_max => Ok(()),
        too_large => Err(InferError::invalid_argument(format!(
            "Response has byte size {too_large} which exceeds gRPC's byte size limit {message_bytes_max}."
        ))),
    }
}

// === impl RequestEcho ===

impl RequestEcho {
    /// What to repeat of `request`.
    pub fn of(request: &ModelInferRequest) -> Self {
        Self {
            id: request.id.clone(),
            model_name: request.model_name.clone(),
            model_version: request.model_version.clone(),
        }
    }

    /// The client's own name for the request.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A response on a stream.
    pub fn response(
        &self,
        model: &ModelIdentity,
        response: (InferResponse, &SharedTensors),
        last: bool,
    ) -> ModelStreamInferResponse {
        let mut response = encode_infer_response(model, self.id.clone(), response);
        response.parameters.insert(FINAL_RESPONSE_PARAMETER.to_owned(), bool_parameter(last));
        ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
    }

    /// A failure on a stream that goes on.
    pub fn failure(&self, error: &InferError, last: bool) -> ModelStreamInferResponse {
        ModelStreamInferResponse { error_message: error.message().to_owned(), ..self.empty(last) }
    }

    /// A response without tensors: the end of a request's responses, for those who asked to be told.
    pub fn empty(&self, last: bool) -> ModelStreamInferResponse {
        let mut response = ModelInferResponse {
            model_name: self.model_name.clone(),
            model_version: self.model_version.clone(),
            id: self.id.clone(),
            ..ModelInferResponse::default()
        };
        response.parameters.insert(FINAL_RESPONSE_PARAMETER.to_owned(), bool_parameter(last));
        ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{NamedTensor, ParameterValue};
    use nereid_tensor::Tensor;

    use super::*;

    fn response() -> InferResponse {
        let tensor = Tensor::from_elements([1, 2], &[1_i32, 2]).unwrap();
        let mut response = InferResponse::new(vec![NamedTensor::new("OUT", tensor)]);
        response.parameters.insert("k", ParameterValue::Int(3));
        response
    }

    #[test]
    fn a_response_hands_its_buffers_over_without_copying_them() {
        let response = response();
        let address = response.outputs[0].tensor.buffer().as_slice().as_ptr();
        let message =
            encode_infer_response(&ModelIdentity::new("m", 3), "id".into(), (response, &SharedTensors::default()));
        assert_eq!(message.raw_output_contents[0].as_ptr(), address);
        assert_eq!((message.model_name.as_str(), message.model_version.as_str()), ("m", "3"));
        let output = &message.outputs[0];
        assert_eq!((output.name.as_str(), output.datatype.as_str(), &*output.shape), ("OUT", "INT32", &[1, 2][..]));
        assert!(output.contents.is_none());
        assert_eq!(message.parameters.len(), 1);
    }

    #[test]
    fn a_response_that_no_client_can_receive_is_refused() {
        let message =
            encode_infer_response(&ModelIdentity::new("m", 1), String::new(), (response(), &SharedTensors::default()));
        let length = message.encoded_len();
        assert!(check_response_size(&message, length).is_ok());
        let error = check_response_size(&message, length - 1).unwrap_err();
        let expected = format!("Response has byte size {length} which exceeds gRPC's byte size limit {}.", length - 1);
        assert_eq!(error.message(), expected);
    }

    #[test]
    fn a_failure_repeats_the_request_so_that_the_client_can_tell_which_one_failed() {
        let request = ModelInferRequest {
            id: "7".into(),
            model_name: "m".into(),
            model_version: "1".into(),
            ..ModelInferRequest::default()
        };
        let message = RequestEcho::of(&request).failure(&InferError::internal("broken"), true);
        let echo = message.infer_response.unwrap();
        assert_eq!(message.error_message, "broken");
        assert_eq!((echo.id, echo.model_name, echo.model_version), ("7".into(), "m".into(), "1".into()));
        assert_eq!(echo.parameters[FINAL_RESPONSE_PARAMETER], bool_parameter(true));
    }
}
