//! One input of a batch, made fit for the library.

use std::ffi::CStr;

use nereid_tensor::{BufferMut, DataType, Shape, Tensor};

use crate::{device::Device, plan::PlannedTensor, value::RuntimeTensor};

/// An input as the session gets it; owns what the runtime's tensor borrows.
pub(crate) struct PreparedInput<'p> {
    planned: &'p PlannedTensor,
    tensor: Tensor,
    shape: Shape,
    /// The bytes, copied when they are not fit to be read where they are.
    copy: Option<BufferMut>,
}

/// Whether elements may be changed by somebody else while the library uses them. A floating-point number is only
/// calculated with; another is an index, a shape or a condition that was checked before.
pub(crate) fn may_change(data_type: DataType) -> bool {
    matches!(data_type, DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64)
}

/// A copy of bytes of the host that the library could not read safely where they are: not aligned for the elements, open
/// to changes that it does not expect, or a `BOOL` other than 0 and 1, which is undefined behaviour in C++.
fn unfit_copy(tensor: &Tensor) -> Option<BufferMut> {
    let buffer = tensor.buffer();
    if buffer.device().is_some() {
        return None;
    }
    let is_open = buffer.is_external() && !may_change(tensor.data_type());
    if tensor.data_type() == DataType::Bool && (is_open || buffer.as_slice().iter().any(|byte| *byte > 1)) {
        let mut copy = BufferMut::copy_of(buffer.as_slice());
        copy.as_mut_slice().iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        return Some(copy);
    }
    let element_bytes = tensor.data_type().size_bytes()?;
    (is_open || !buffer.is_aligned_to(element_bytes)).then(|| BufferMut::copy_of(buffer.as_slice()))
}

// === impl PreparedInput ===

impl<'p> PreparedInput<'p> {
    /// The tensor is on the host, or where the session's device reads it.
    pub(crate) fn new(planned: &'p PlannedTensor, tensor: Tensor) -> Self {
        let shape = planned.file_shape(tensor.shape());
        let copy = unfit_copy(&tensor);
        Self { planned, tensor, shape, copy }
    }

    /// The library's tensor over this one.
    ///
    /// # Errors
    /// Whatever the library objects to.
    pub(crate) fn view(&self, device: Option<&Device>) -> Result<(&CStr, RuntimeTensor<'_>), ort::Error> {
        let bytes = || self.copy.as_ref().map_or(self.tensor.buffer().as_slice(), BufferMut::as_slice);
        let tensor = match (self.planned.data_type, device) {
            (DataType::Bytes, _) => RuntimeTensor::strings(&self.tensor, &self.shape)?,
            (data_type, Some(device)) if self.tensor.buffer().device().is_some() => {
                RuntimeTensor::over_device((data_type, &self.shape), self.tensor.buffer(), device.memory_info())?
            }
            (data_type, _) => RuntimeTensor::over(data_type, &self.shape, bytes())?,
        };
        Ok((&self.planned.c_name, tensor))
    }
}

#[cfg(test)]
mod tests {
    use nereid_tensor::Buffer;

    use super::*;

    #[test]
    fn memory_that_is_fit_is_not_copied() {
        let tensor = Tensor::from_elements([2], &[1.0_f32, 2.0]).unwrap();
        assert!(unfit_copy(&tensor).is_none());
        assert!(unfit_copy(&Tensor::from_byte_strings([1], &["x"]).unwrap()).is_none());
    }

    #[test]
    fn misaligned_memory_is_copied() {
        let buffer = Buffer::from(bytes::Bytes::from_owner(BufferMut::zeroed(12))).slice(1..9).unwrap();
        let tensor = Tensor::new(DataType::Fp32, [2].into(), buffer).unwrap();
        assert_eq!(unfit_copy(&tensor).unwrap().as_slice(), [0; 8]);
    }

    #[test]
    fn in_shared_memory_only_floats_stay_where_they_are() {
        let shared = |data_type, length_bytes| {
            let bytes = bytes::Bytes::from_owner(BufferMut::zeroed(length_bytes));
            Tensor::new(data_type, [2].into(), Buffer::external(bytes)).unwrap()
        };
        assert!(unfit_copy(&shared(DataType::Fp32, 8)).is_none());
        assert!(unfit_copy(&shared(DataType::Fp16, 4)).is_none());
        for (data_type, length_bytes) in [(DataType::Int64, 16), (DataType::Uint8, 2), (DataType::Bool, 2)] {
            assert_eq!(unfit_copy(&shared(data_type, length_bytes)).unwrap().len(), length_bytes, "{data_type}");
        }
    }

    #[test]
    fn a_bool_is_made_0_or_1() {
        let tensor = Tensor::new(DataType::Bool, [3].into(), vec![0, 1, 7].into()).unwrap();
        assert_eq!(unfit_copy(&tensor).unwrap().as_slice(), [0, 1, 1]);
    }
}
