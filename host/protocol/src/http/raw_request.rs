//! A raw binary request: the whole body is the one input of the model, and every output comes back binary.

use bytes::Bytes;
use nereid_inference::{InferError, InferRequest, NamedTensor, SharedTensors, TensorSpec};
use nereid_tensor::{Buffer, DataType, Shape, Tensor, encode_bytes_elements};

use super::{
    outputs::OutputFormats,
    request::{DecodedRequest, RequestContext, tensor_error},
};

/// Decodes a body that came with a header length of 0. Costs a copy for BYTES only, whose length field is put in front.
///
/// # Errors
/// The model has not exactly one input, or its shape cannot be told from the length of the body.
pub fn decode_raw_infer_request(body: Bytes, context: &RequestContext<'_>) -> Result<DecodedRequest, InferError> {
    let signature = context.signature;
    let model = &signature.model_name;
    let [spec] = signature.inputs.as_slice() else {
        return Err(InferError::invalid_argument(format!(
            "Raw request must only have 1 input (found 1) to be deduced but got {} inputs in '{model}' model \
             configuration",
            signature.inputs.len()
        )));
    };
    let shape = deduce_shape(spec, body.len(), signature.max_batch_size > 0)?;
    let buffer = match spec.data_type {
        DataType::Bytes => encode_bytes_elements(&[body]).into(),
        _ => Buffer::from(body),
    };
    let mut request = InferRequest::new(Vec::new());
    request.received = context.received;
    let tensor = Tensor::new(spec.data_type, shape, buffer)
        .map_err(|error| tensor_error(&spec.name, model, &error).prefixed(&request.error_prefix()))?;
    request.inputs.push(NamedTensor { name: spec.name.clone(), tensor });
    let outputs = OutputFormats::all_binary();
    Ok(DecodedRequest { request, outputs, shared: SharedTensors::default() })
}

/// The configured shape, a batch of one in front, the one open dimension filled with what the bytes amount to.
fn deduce_shape(spec: &TensorSpec, body_bytes: usize, batched: bool) -> Result<Shape, InferError> {
    let name = &spec.name;
    let Some(element_bytes) = spec.data_type.size_bytes() else {
        let fixed: Option<Shape> = spec.dims.iter().map(|dim| u64::try_from(dim.abs()).ok()).collect();
        let text = || format!("For BYTE datatype raw input '{name}', the model must have input shape [1]");
        let shape = fixed.filter(|_| matches!(spec.dims.as_slice(), [1 | -1]));
        return shape.map(|inner| prepend_batch(&inner, batched)).ok_or_else(|| InferError::invalid_argument(text()));
    };
    if spec.dims.iter().filter(|dim| **dim < 0).count() > 1 {
        return Err(InferError::invalid_argument(format!(
            "The shape of the raw input '{name}' can not be deduced because there are more than one variable-sized \
             dimension"
        )));
    }
    let mut fixed = spec.dims.iter().filter_map(|dim| u64::try_from(*dim).ok());
    let fixed = fixed.try_fold(element_bytes as u64, u64::checked_mul).unwrap_or(u64::MAX);
    // A length that is no multiple leaves bytes over, which the tensor's own check then names.
    let open = (body_bytes as u64).checked_div(fixed).unwrap_or(0);
    let inner: Shape = spec.dims.iter().map(|dim| u64::try_from(*dim).unwrap_or(open)).collect();
    Ok(prepend_batch(&inner, batched))
}

fn prepend_batch(inner: &[u64], batched: bool) -> Shape {
    batched.then_some(1).into_iter().chain(inner.iter().copied()).collect()
}
