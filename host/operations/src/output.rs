//! A result that is being written: memory that was asked for, in a shape that is known.

use bytemuck::Pod;
use nereid_tensor::{BufferMut, DataType, Shape, Tensor};

use crate::{Budget, OperationError};

/// Zeroed memory for a tensor of fixed-size elements.
pub(crate) struct Output {
    operation: &'static str,
    data_type: DataType,
    shape: Shape,
    bytes: BufferMut,
}

// === impl Output ===

impl Output {
    /// Allocates what type and shape call for.
    pub(crate) fn new(
        operation: &'static str,
        data_type: DataType,
        shape: Shape,
        budget: Budget,
    ) -> Result<Self, OperationError> {
        let length = shape.byte_size(data_type).map(|bytes| bytes as u64);
        let length = budget.check(operation, length)?;
        Ok(Self { operation, data_type, shape, bytes: BufferMut::zeroed(length) })
    }

    /// The elements, as numbers of their size.
    pub(crate) fn elements<T: Pod>(&mut self) -> &mut [T] {
        // The memory is aligned for every number, and its length is a multiple of the element's.
        bytemuck::try_cast_slice_mut(self.bytes.as_mut_slice()).unwrap_or_default()
    }

    pub(crate) fn finish(self) -> Result<Tensor, OperationError> {
        let operation = self.operation;
        Tensor::new(self.data_type, self.shape, self.bytes.freeze())
            .map_err(|error| OperationError::argument(operation, error))
    }
}

/// A result of byte strings.
pub(crate) fn blobs<E: AsRef<[u8]>>(
    operation: &'static str,
    shape: Shape,
    elements: &[E],
    budget: Budget,
) -> Result<Tensor, OperationError> {
    budget.check(operation, Some(encoded_bytes(elements)))?;
    Tensor::from_byte_strings(shape, elements).map_err(|error| OperationError::argument(operation, error))
}

/// Length of the wire encoding: each element has four bytes of length in front.
fn encoded_bytes<E: AsRef<[u8]>>(elements: &[E]) -> u64 {
    elements.iter().map(|element| element.as_ref().len() as u64 + 4).sum()
}
