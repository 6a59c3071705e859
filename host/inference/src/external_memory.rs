//! Tensors in memory that a client shares with the server.
//!
//! Promises: an output that a client wants in its own memory is copied there at most once, and not at all where a
//! backend wrote it in place; what goes into a response instead is in memory that nobody else can change or take away.
//! A client that takes memory away while it is used gets an error.
//!
//! Deliberately absent: how memory is shared, which is the matter of whoever implements the traits.

use std::{fmt, sync::Arc};

use nereid_tensor::{Buffer, BufferMut};
use smallvec::SmallVec;

use crate::{InferError, InferResponse, NamedTensor};

/// A span of a client's memory. It stays readable and writable for as long as a handle, a view or a target of it lives.
pub trait ExternalMemory: fmt::Debug + Send + Sync {
    /// Length of the span.
    fn length_bytes(&self) -> usize;

    /// The device that the memory belongs to; `None` for memory of the host.
    fn device_id(&self) -> Option<i32> {
        None
    }

    /// The bytes of the span, without a copy.
    fn view(&self) -> Buffer;

    /// The first `length_bytes` bytes as memory of the host to write; `None` when the span is shorter, or on a device.
    fn target(&self, length_bytes: usize) -> Option<BufferMut>;

    /// Copies `bytes`, as far as they fit, to the start of the span; does nothing when that is where they are.
    ///
    /// # Errors
    /// A device could not be read or written.
    fn write(&self, bytes: &Buffer) -> Result<(), InferError>;

    /// Whether the client has left the memory alone.
    ///
    /// # Errors
    /// It took the memory away, and what was read or written since is lost.
    fn check(&self) -> Result<(), InferError>;
}

/// Finds memory that clients have registered.
pub trait MemoryRegions: Send + Sync {
    /// `length_bytes` bytes from byte `offset_bytes` of the region called `name`.
    ///
    /// # Errors
    /// `NotFound` for an unknown region, `InvalidArgument` for bytes beyond its end.
    fn span(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Arc<dyn ExternalMemory>, InferError>;
}

/// A region of system shared memory as its client registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemRegion {
    pub name: String,
    /// The name of the object.
    pub key: String,
    /// Where in the object the region begins.
    pub offset: u64,
    pub byte_size: u64,
}

/// A region of device memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaRegion {
    pub name: String,
    pub device_id: u64,
    pub byte_size: u64,
}

/// What a client says of memory of a device that it shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaRegistration {
    pub name: String,
    /// What `cudaIpcGetMemHandle` gave.
    pub raw_handle: Vec<u8>,
    pub device_id: i64,
    pub byte_size: u64,
}

/// No region is registered.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRegions;

/// An output that a client wants in its own memory.
#[derive(Clone, Debug)]
pub struct OutputMemory {
    pub name: Arc<str>,
    pub memory: Arc<dyn ExternalMemory>,
}

/// The memory that one request shares with its client.
#[derive(Clone, Debug, Default)]
pub struct SharedTensors {
    inputs: SmallVec<[Arc<dyn ExternalMemory>; 2]>,
    outputs: SmallVec<[OutputMemory; 2]>,
}

// === impl NoRegions ===

impl MemoryRegions for NoRegions {
    fn span(&self, name: &str, _: u64, _: u64) -> Result<Arc<dyn ExternalMemory>, InferError> {
        Err(InferError::not_found(format!("Unable to find shared memory region: '{name}'")))
    }
}

// === impl SharedTensors ===

impl SharedTensors {
    /// Adds an input and returns its bytes.
    pub fn add_input(&mut self, memory: Arc<dyn ExternalMemory>) -> Buffer {
        let view = memory.view();
        self.inputs.push(memory);
        view
    }

    /// Adds an output.
    pub fn add_output(&mut self, name: Arc<str>, memory: Arc<dyn ExternalMemory>) {
        self.outputs.push(OutputMemory { name, memory });
    }

    /// Whether an output is wanted in memory of a device.
    pub fn takes_device_memory(&self) -> bool {
        self.outputs.iter().any(|output| output.memory.device_id().is_some())
    }

    /// Whether the request shares nothing.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.outputs.is_empty()
    }

    /// The outputs, for the request.
    pub fn outputs(&self) -> &[OutputMemory] {
        &self.outputs
    }

    /// Whether the output called `name` goes to the client's memory and not into the response.
    pub fn has_output(&self, name: &str) -> bool {
        self.output(name).is_some()
    }

    /// The answer of the model once every output is where the client wants it.
    ///
    /// # Errors
    /// The model's own; `Internal` when an output does not fit its memory; what [`ExternalMemory::check`] found, which
    /// wins because it may be the cause of any other.
    pub fn settle(&self, answer: Result<InferResponse, InferError>) -> Result<InferResponse, InferError> {
        let settled = answer.and_then(|response| self.place(response));
        self.inputs.iter().try_for_each(|memory| memory.check())?;
        self.outputs.iter().try_for_each(|output| output.memory.check())?;
        settled
    }

    fn place(&self, mut response: InferResponse) -> Result<InferResponse, InferError> {
        for output in &mut response.outputs {
            match self.output(&output.name) {
                None => keep_in_response(output)?,
                Some(memory) if output.tensor.byte_size() > memory.length_bytes() => {
                    return Err(InferError::internal(format!(
                        "shared memory size specified with the request for output '{}' ({} bytes) should be at least \
                         {} bytes to hold the results",
                        output.name,
                        memory.length_bytes(),
                        output.tensor.byte_size()
                    )));
                }
                Some(memory) => memory.write(output.tensor.buffer())?,
            }
        }
        Ok(response)
    }

    fn output(&self, name: &str) -> Option<&Arc<dyn ExternalMemory>> {
        self.outputs.iter().find(|output| &*output.name == name).map(|output| &output.memory)
    }
}

/// Takes an output that goes into the response out of memory that is a client's or a device's.
fn keep_in_response(output: &mut NamedTensor) -> Result<(), InferError> {
    let buffer = output.tensor.buffer();
    if buffer.is_external() || buffer.device().is_some() {
        output.tensor = output.tensor.clone().into_private().map_err(|error| {
            InferError::internal(format!("output '{}' could not be brought to the host: {error}", output.name))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    use nereid_tensor::Tensor;

    use super::*;

    #[derive(Debug, Default)]
    struct Span {
        bytes: Mutex<Vec<u8>>,
        length_bytes: usize,
        is_damaged: AtomicBool,
    }

    impl ExternalMemory for Span {
        fn length_bytes(&self) -> usize {
            self.length_bytes
        }

        fn view(&self) -> Buffer {
            Buffer::external(self.bytes.lock().unwrap().clone().into())
        }

        fn target(&self, _: usize) -> Option<BufferMut> {
            None
        }

        fn write(&self, bytes: &Buffer) -> Result<(), InferError> {
            *self.bytes.lock().unwrap() = bytes.as_slice().to_vec();
            Ok(())
        }

        fn check(&self) -> Result<(), InferError> {
            let is_damaged = self.is_damaged.load(Ordering::SeqCst);
            if is_damaged { Err(InferError::invalid_argument("damaged")) } else { Ok(()) }
        }
    }

    /// The one door: an output `Y` of four bytes, wanted in a span of `length_bytes`.
    fn settle(length_bytes: usize) -> (Arc<Span>, SharedTensors, InferResponse) {
        let span = Arc::new(Span { length_bytes, ..Span::default() });
        let mut shared = SharedTensors::default();
        shared.add_output("Y".into(), span.clone());
        let tensor = Tensor::from_elements([1], &[0x0102_0304]).unwrap();
        (span, shared, InferResponse::new(vec![NamedTensor::new("Y", tensor)]))
    }

    #[test]
    fn an_output_goes_to_the_memory_it_was_asked_for_in() {
        let (span, shared, response) = settle(8);
        assert!(shared.has_output("Y") && !shared.has_output("X"));
        shared.settle(Ok(response)).unwrap();
        assert_eq!(*span.bytes.lock().unwrap(), [4, 3, 2, 1]);
    }

    #[test]
    fn an_output_that_does_not_fit_is_an_error_in_tritons_words() {
        let (_, shared, response) = settle(3);
        let error = shared.settle(Ok(response)).unwrap_err();
        let text = "shared memory size specified with the request for output 'Y' (3 bytes) should be at least 4 bytes \
                    to hold the results";
        assert_eq!((error.kind(), error.message()), (crate::ErrorKind::Internal, text));
    }

    #[test]
    fn damaged_memory_wins_over_every_other_outcome() {
        let (span, shared, response) = settle(8);
        span.is_damaged.store(true, Ordering::SeqCst);
        assert_eq!(shared.settle(Ok(response)).unwrap_err().message(), "damaged");
        assert_eq!(shared.settle(Err(InferError::internal("odd"))).unwrap_err().message(), "damaged");
    }

    #[test]
    fn an_output_in_the_response_is_taken_out_of_the_clients_memory() {
        let (_, shared, _) = settle(8);
        let view = Buffer::external(vec![1, 2].into());
        let tensor = Tensor::new(nereid_tensor::DataType::Uint8, [2].into(), view).unwrap();
        let response = shared.settle(Ok(InferResponse::new(vec![NamedTensor::new("X", tensor)]))).unwrap();
        assert!(!response.output("X").unwrap().buffer().is_external());
    }
}
