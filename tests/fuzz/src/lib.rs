//! What the targets share: the models that requests are meant for, and the answer that repeats a request.
//!
//! A target fails by a panic, an overflow, more memory or more time than libFuzzer was told to allow, or by one of the
//! assertions here: they hold for every input, whatever it is.

use nereid_inference::{InferError, InferRequest, InferResponse, ModelIdentity, Signature, TensorSpec};
use nereid_tensor::DataType;

/// Bytes that one tensor given as JSON may occupy: far more than a target's input, so that only amplification meets it.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// A model with inputs and outputs of these names, types and dimensions.
pub fn signature(tensors: &[(&str, DataType, &[i64])], max_batch_size: u64) -> Signature {
    let spec = |(name, data_type, dims): &(&str, DataType, &[i64])| TensorSpec {
        name: (*name).into(),
        data_type: *data_type,
        dims: dims.to_vec(),
        optional: false,
    };
    let specs: Vec<TensorSpec> = tensors.iter().map(spec).collect();
    Signature { model_name: "M".into(), inputs: specs.clone(), outputs: specs, max_batch_size }
}

/// One input of each type that a parser treats in its own way: `F`, `I`, `U`, `B`, `T`.
pub fn every_kind() -> Signature {
    let any: &[i64] = &[-1];
    let tensors = [
        ("F", DataType::Fp32, any),
        ("I", DataType::Int64, &[-1, 2]),
        ("U", DataType::Uint8, any),
        ("B", DataType::Bool, any),
        ("T", DataType::Bytes, any),
    ];
    signature(&tensors, 0)
}

pub fn identity() -> ModelIdentity {
    ModelIdentity::new("M", 1)
}

/// What a model that returns its inputs answers. Asserts what decoding promises: consistent tensors.
pub fn echo(request: InferRequest) -> InferResponse {
    for input in &request.inputs {
        let tensor = &input.tensor;
        assert_eq!(tensor.byte_size(), tensor.buffer().len());
        match tensor.data_type() {
            DataType::Bytes => assert_eq!(tensor.byte_strings().count() as u64, tensor.element_count()),
            data_type => assert_eq!(tensor.shape().byte_size(data_type), Some(tensor.buffer().len())),
        }
    }
    InferResponse { outputs: request.inputs, parameters: request.parameters }
}

/// Asserts what every refusal promises: a text for the client.
pub fn expect_explained(error: &InferError) {
    assert!(error.message().len() > 5, "an error that says nothing: {error:?}");
}
