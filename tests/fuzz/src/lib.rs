//! What the targets share: the models that requests are meant for, a region of shared memory, and the answer that repeats
//! a request.
//!
//! A target fails by a panic, an overflow, more memory or more time than libFuzzer was told to allow, or by one of the
//! assertions here: they hold for every input, whatever it is.

use std::sync::{Arc, Mutex};

use nereid_inference::{
    ExternalMemory, InferError, InferRequest, InferResponse, MemoryRegions, ModelIdentity, SharedTensors, Signature,
    TensorSpec,
};
use nereid_tensor::{Buffer, BufferMut, DataType};

/// Bytes that one tensor given as JSON may occupy: far more than a target's input, so that only amplification meets it.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// One region, `R`, of a few bytes.
pub struct Regions;

const REGION_BYTES: usize = 24;

/// A part of the region; what is written to it must fit.
#[derive(Debug)]
struct Span(Mutex<Vec<u8>>);

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
///
/// # Errors
/// An output that its client wants in memory that is too short.
pub fn echo(request: InferRequest, shared: &SharedTensors) -> Result<InferResponse, InferError> {
    for input in &request.inputs {
        let tensor = &input.tensor;
        assert_eq!(tensor.byte_size(), tensor.buffer().len());
        match tensor.data_type() {
            DataType::Bytes => assert_eq!(tensor.byte_strings().count() as u64, tensor.element_count()),
            data_type => assert_eq!(tensor.shape().byte_size(data_type), Some(tensor.buffer().len())),
        }
    }
    let response = shared.settle(Ok(InferResponse { outputs: request.inputs, parameters: request.parameters }))?;
    let is_safe = |name: &str, buffer: &Buffer| shared.has_output(name) || !buffer.is_external();
    assert!(response.outputs.iter().all(|output| is_safe(&output.name, output.tensor.buffer())));
    Ok(response)
}

/// Asserts what every refusal promises: a text for the client.
pub fn expect_explained(error: &InferError) {
    assert!(error.message().len() > 5, "an error that says nothing: {error:?}");
}

// === impl Regions ===

impl MemoryRegions for Regions {
    fn span(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Arc<dyn ExternalMemory>, InferError> {
        if name != "R" {
            return Err(InferError::not_found(format!("Unable to find shared memory region: '{name}'")));
        }
        let end = offset_bytes.checked_add(length_bytes).filter(|end| *end <= REGION_BYTES as u64);
        match end {
            Some(_) => Ok(Arc::new(Span(Mutex::new(vec![1; length_bytes as usize])))),
            None => Err(InferError::invalid_argument("Invalid offset + byte size for shared memory region: 'R'")),
        }
    }
}

// === impl Span ===

impl ExternalMemory for Span {
    fn length_bytes(&self) -> usize {
        self.0.lock().expect("nobody panics with it").len()
    }

    fn view(&self) -> Buffer {
        Buffer::external(self.0.lock().expect("nobody panics with it").clone().into())
    }

    fn target(&self, _: usize) -> Option<BufferMut> {
        None
    }

    fn write(&self, bytes: &Buffer) -> Result<(), InferError> {
        self.0.lock().expect("nobody panics with it")[..bytes.len()].copy_from_slice(bytes.as_slice());
        Ok(())
    }

    fn check(&self) -> Result<(), InferError> {
        Ok(())
    }
}
