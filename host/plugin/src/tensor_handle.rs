//! The host's side of `resource tensor`: what a guest's handle stands for.
//!
//! A tensor that a guest makes is private until it is shared or handed on, and written in place until then. Everything
//! else is shared; writing to it copies once. Every byte that is allocated here was charged to the call's account first.

use std::{ops::Range, sync::Arc};

use nereid_inference::InferError;
use nereid_tensor::{Buffer, BufferMut, BytesElements, DataType, Shape, Tensor};

use crate::account::{Account, Charge};

/// Bytes of the length field in front of every element of a `BYTES` tensor.
const LENGTH_FIELD_BYTES: usize = 4;

/// One tensor as one handle sees it.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TensorHandle {
    content: Content,
    /// `None` for the request's own inputs.
    charge: Option<Arc<Charge>>,
}

enum Content {
    /// Fixed-size elements that nobody else sees.
    Private {
        data_type: DataType,
        shape: Shape,
        bytes: BufferMut,
    },
    Shared(Tensor),
}

// === impl TensorHandle ===

impl TensorHandle {
    /// A tensor that costs the guest nothing: one of the request's inputs.
    pub(crate) fn free_of_charge(tensor: Tensor) -> Self {
        Self { content: Content::Shared(tensor), charge: None }
    }

    /// A tensor that another model answered.
    pub(crate) fn received(tensor: Tensor, account: &Arc<Account>) -> Result<Self, InferError> {
        let charge = account.charge(tensor.byte_size() as u64)?;
        Ok(Self { content: Content::Shared(tensor), charge: Some(charge) })
    }

    /// A part of a tensor that is paid for, or free.
    pub(crate) fn view(tensor: Tensor, charge: Option<Arc<Charge>>) -> Self {
        Self { content: Content::Shared(tensor), charge }
    }

    /// A private tensor of zeroes.
    pub(crate) fn zeroed(data_type: DataType, shape: Shape, account: &Arc<Account>) -> Result<Self, InferError> {
        if data_type == DataType::Bytes {
            let text =
                "a tensor of BYTES cannot be created empty, because its elements have no fixed size; use from-blobs";
            return Err(InferError::invalid_argument(text));
        }
        let Some(length) = shape.byte_size(data_type) else {
            let text = format!("shape {shape} of {data_type} elements needs more bytes than can be addressed");
            return Err(InferError::invalid_argument(text));
        };
        let charge = account.charge(length as u64)?;
        Ok(Self {
            content: Content::Private { data_type, shape, bytes: BufferMut::zeroed(length) },
            charge: Some(charge),
        })
    }

    /// A tensor over a copy of `data`.
    pub(crate) fn copy_of(
        data_type: DataType,
        shape: Shape,
        data: &[u8],
        account: &Arc<Account>,
    ) -> Result<Self, InferError> {
        if data_type == DataType::Bytes {
            let charge = account.charge(data.len() as u64)?;
            let tensor = Tensor::new(data_type, shape, BufferMut::copy_of(data).freeze()).map_err(unfit)?;
            return Ok(Self { content: Content::Shared(tensor), charge: Some(charge) });
        }
        if shape.byte_size(data_type) != Some(data.len()) {
            let expected =
                shape.byte_size(data_type).map_or("more than can be addressed".to_owned(), |n| n.to_string());
            let found = data.len();
            let text = format!("expected {expected} bytes for shape {shape} of {data_type}, got {found}");
            return Err(InferError::invalid_argument(text));
        }
        Self::unchecked(data_type, shape, data, account)
    }

    /// A tensor of fixed-size elements over a copy of `data`, which is compared with the shape when it is shared.
    pub(crate) fn unchecked(
        data_type: DataType,
        shape: Shape,
        data: &[u8],
        account: &Arc<Account>,
    ) -> Result<Self, InferError> {
        let charge = account.charge(data.len() as u64)?;
        let bytes = BufferMut::copy_of(data);
        Ok(Self { content: Content::Private { data_type, shape, bytes }, charge: Some(charge) })
    }

    /// A `BYTES` tensor of one element per item.
    pub(crate) fn from_blobs(shape: Shape, items: &[Vec<u8>], account: &Arc<Account>) -> Result<Self, InferError> {
        let length: usize = items.iter().map(|item| item.len() + LENGTH_FIELD_BYTES).sum();
        let charge = account.charge(length as u64)?;
        let tensor = Tensor::from_byte_strings(shape, items).map_err(unfit)?;
        Ok(Self { content: Content::Shared(tensor), charge: Some(charge) })
    }

    /// The tensor, leaving an empty one in its place for a moment.
    pub(crate) fn take(&mut self) -> Self {
        let bytes = BufferMut::zeroed(0);
        let content = Content::Private { data_type: DataType::Uint8, shape: Shape::from([0]), bytes };
        std::mem::replace(self, Self { content, charge: None })
    }

    pub(crate) fn data_type(&self) -> DataType {
        match &self.content {
            Content::Private { data_type, .. } => *data_type,
            Content::Shared(tensor) => tensor.data_type(),
        }
    }

    pub(crate) fn shape(&self) -> &Shape {
        match &self.content {
            Content::Private { shape, .. } => shape,
            Content::Shared(tensor) => tensor.shape(),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.content {
            Content::Private { bytes, .. } => bytes.as_slice(),
            Content::Shared(tensor) => tensor.buffer().as_slice(),
        }
    }

    pub(crate) fn element_count(&self) -> u64 {
        self.shape().checked_element_count().unwrap_or(0)
    }

    /// The range of `length` bytes from `offset` on.
    pub(crate) fn byte_range(&self, offset: u32, length: usize) -> Result<Range<usize>, InferError> {
        let (start, found) = (offset as usize, self.as_slice().len());
        match start.checked_add(length) {
            Some(end) if end <= found => Ok(start..end),
            _ => Err(InferError::invalid_argument(format!(
                "{length} bytes at offset {offset} reach beyond the tensor's {found} bytes"
            ))),
        }
    }

    /// A view of all bytes; copies only what is still private.
    pub(crate) fn read_all(&self) -> Buffer {
        match &self.content {
            Content::Shared(tensor) => tensor.buffer().clone(),
            Content::Private { bytes, .. } => Buffer::from(bytes.as_slice().to_vec()),
        }
    }

    /// A view of a part of the bytes; copies only what is still private.
    pub(crate) fn read(&self, offset: u32, length: u32) -> Result<Buffer, InferError> {
        let range = self.byte_range(offset, length as usize)?;
        let view = match &self.content {
            Content::Shared(tensor) => tensor.buffer().slice(range),
            Content::Private { bytes, .. } => bytes.as_slice().get(range).map(|part| Buffer::from(part.to_vec())),
        };
        Ok(view.unwrap_or_default())
    }

    /// Elements of an FP32 tensor.
    pub(crate) fn read_f32(&self, first: u32, count: u32) -> Result<Vec<f32>, InferError> {
        self.require(DataType::Fp32, "read-f32")?;
        let (offset, length) = f32_range(first, count as usize)?;
        let range = self.byte_range(offset, length)?;
        let bytes = self.as_slice().get(range).unwrap_or_default();
        Ok(bytemuck::allocation::pod_collect_to_vec(bytes))
    }

    /// Elements of a BYTES tensor.
    pub(crate) fn read_blobs(&self, first: u32, count: u32) -> Result<Vec<Vec<u8>>, InferError> {
        self.require(DataType::Bytes, "read-blobs")?;
        let found = self.element_count();
        if u64::from(first) + u64::from(count) > found {
            let text = format!("{count} elements from number {first} on reach beyond the tensor's {found} elements");
            return Err(InferError::invalid_argument(text));
        }
        let elements = BytesElements::new(self.as_slice()).filter_map(Result::ok);
        Ok(elements.skip(first as usize).take(count as usize).map(<[u8]>::to_vec).collect())
    }

    /// Overwrites bytes, after making the buffer private.
    pub(crate) fn write(&mut self, offset: u32, data: &[u8], account: &Arc<Account>) -> Result<(), InferError> {
        let range = self.byte_range(offset, data.len())?;
        let bytes = self.make_private(account)?;
        if let Some(target) = bytes.as_mut_slice().get_mut(range) {
            target.copy_from_slice(data);
        }
        Ok(())
    }

    /// Overwrites elements of an FP32 tensor.
    pub(crate) fn write_f32(&mut self, first: u32, data: &[f32], account: &Arc<Account>) -> Result<(), InferError> {
        self.require(DataType::Fp32, "write-f32")?;
        let (offset, _) = f32_range(first, data.len())?;
        self.write(offset, bytemuck::cast_slice(data), account)
    }

    /// The tensor, shared from now on, with the charge that keeps its memory paid for.
    pub(crate) fn share(&mut self) -> Result<(Tensor, Option<Arc<Charge>>), InferError> {
        if let Content::Private { data_type, shape, bytes } = &mut self.content {
            let bytes = std::mem::replace(bytes, BufferMut::zeroed(0));
            let tensor = Tensor::new(*data_type, shape.clone(), bytes.freeze()).map_err(unfit)?;
            self.content = Content::Shared(tensor);
        }
        match &self.content {
            Content::Shared(tensor) => Ok((tensor.clone(), self.charge.clone())),
            Content::Private { .. } => Err(InferError::internal("a tensor could not be shared")),
        }
    }

    /// Another handle on the same memory.
    pub(crate) fn shared(&mut self) -> Result<Self, InferError> {
        let (tensor, charge) = self.share()?;
        Ok(Self { content: Content::Shared(tensor), charge })
    }

    /// Another handle on the same memory under another shape.
    pub(crate) fn reshaped(&mut self, shape: Shape) -> Result<Self, InferError> {
        let (tensor, charge) = self.share()?;
        let (count, from) = (shape.checked_element_count(), tensor.shape().clone());
        if count != tensor.shape().checked_element_count() {
            let text = format!("shape {from} cannot become {shape}: the numbers of elements differ");
            return Err(InferError::invalid_argument(text));
        }
        Ok(Self { content: Content::Shared(tensor.reshaped(shape).map_err(unfit)?), charge })
    }

    /// Another handle on a part of the memory.
    pub(crate) fn sliced(&mut self, first: u64, shape: Shape) -> Result<Self, InferError> {
        let (tensor, charge) = self.share()?;
        let beyond = || {
            let text =
                format!("shape {shape} from element {first} on reaches beyond a tensor of shape {}", tensor.shape());
            InferError::invalid_argument(text)
        };
        let count = shape.checked_element_count().ok_or_else(beyond)?;
        let last = first.checked_add(count).filter(|last| *last <= tensor.element_count()).ok_or_else(beyond)?;
        let range = match tensor.data_type().size_bytes() {
            Some(size) => {
                byte_position(first, size).ok_or_else(beyond)?..byte_position(last, size).ok_or_else(beyond)?
            }
            None => blob_range(&tensor, first, count),
        };
        let part = tensor.buffer().slice(range).ok_or_else(beyond)?;
        let tensor = Tensor::new(tensor.data_type(), shape, part).map_err(unfit)?;
        Ok(Self { content: Content::Shared(tensor), charge })
    }

    fn make_private(&mut self, account: &Arc<Account>) -> Result<&mut BufferMut, InferError> {
        if let Content::Shared(tensor) = &self.content {
            if tensor.data_type() == DataType::Bytes {
                let text = "a tensor of BYTES cannot be written in place, because its elements have no fixed size";
                return Err(InferError::invalid_argument(text));
            }
            let charge = account.charge(tensor.byte_size() as u64)?;
            let bytes = BufferMut::copy_of(tensor.buffer().as_slice());
            let (data_type, shape) = (tensor.data_type(), tensor.shape().clone());
            *self = Self { content: Content::Private { data_type, shape, bytes }, charge: Some(charge) };
        }
        match &mut self.content {
            Content::Private { bytes, .. } => Ok(bytes),
            Content::Shared(_) => Err(InferError::internal("a tensor could not be made writable")),
        }
    }

    fn require(&self, expected: DataType, function: &str) -> Result<(), InferError> {
        let found = self.data_type();
        if found == expected {
            return Ok(());
        }
        Err(InferError::invalid_argument(format!("{function} needs a tensor of {expected}, this one is of {found}")))
    }
}

/// Offset and length in bytes of `count` FP32 elements from `first` on.
fn f32_range(first: u32, count: usize) -> Result<(u32, usize), InferError> {
    let bytes = (first.checked_mul(4), count.checked_mul(4));
    let beyond = || InferError::invalid_argument(format!("element {first} lies beyond 4 GiB; slice the tensor first"));
    bytes.0.zip(bytes.1).ok_or_else(beyond)
}

fn byte_position(element: u64, size_bytes: usize) -> Option<usize> {
    usize::try_from(element).ok()?.checked_mul(size_bytes)
}

/// Where `count` elements from `first` on lie in the encoding; both are known to exist.
fn blob_range(tensor: &Tensor, first: u64, count: u64) -> Range<usize> {
    let lengths = || tensor.byte_strings().map(|blob| blob.len() + LENGTH_FIELD_BYTES);
    let (first, count) = (usize::try_from(first).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
    let start: usize = lengths().take(first).sum();
    let length: usize = lengths().skip(first).take(count).sum();
    start..start + length
}

fn unfit(error: nereid_tensor::TensorError) -> InferError {
    InferError::invalid_argument(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Arc<Account> {
        Account::new(1000)
    }

    #[test]
    fn writing_to_an_input_copies_it_and_leaves_the_input_alone() {
        let input = Tensor::from_elements([4], &[1_u8, 2, 3, 4]).unwrap();
        let mut handle = TensorHandle::free_of_charge(input.clone());
        handle.write(1, &[9, 9], &account()).unwrap();
        assert_eq!(handle.as_slice(), [1, 9, 9, 4]);
        assert_eq!(input.buffer().as_slice(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_private_tensor_is_written_in_place_until_it_is_shared() {
        let account = account();
        let mut handle = TensorHandle::zeroed(DataType::Fp32, [2].into(), &account).unwrap();
        let address = handle.as_slice().as_ptr();
        handle.write_f32(1, &[2.5], &account).unwrap();
        let (tensor, _) = handle.share().unwrap();
        assert_eq!(tensor.buffer().as_slice().as_ptr(), address);
        handle.write_f32(0, &[1.0], &account).unwrap();
        assert_eq!(tensor.elements::<f32>().unwrap().as_ref(), [0.0, 2.5]);
        assert_eq!(handle.read_f32(0, 2).unwrap(), [1.0, 2.5]);
    }

    #[test]
    fn reads_beyond_the_end_say_both_sides() {
        let handle = TensorHandle::zeroed(DataType::Uint8, [4].into(), &account()).unwrap();
        let error = handle.read(2, 3).unwrap_err();
        assert_eq!(error.message(), "3 bytes at offset 2 reach beyond the tensor's 4 bytes");
        assert!(handle.read(u32::MAX, u32::MAX).is_err());
        assert!(handle.read_f32(0, 1).unwrap_err().message().contains("needs a tensor of FP32"));
    }

    #[test]
    fn slices_share_memory_for_numbers_and_for_blobs() {
        let input = Tensor::from_elements([2, 3], &[1_i32, 2, 3, 4, 5, 6]).unwrap();
        let mut row = TensorHandle::free_of_charge(input.clone()).sliced(3, [3].into()).unwrap();
        assert_eq!(row.share().unwrap().0.elements::<i32>().unwrap().as_ref(), [4, 5, 6]);
        assert_eq!(row.as_slice().as_ptr(), input.buffer().as_slice()[12..].as_ptr());
        let words = Tensor::from_byte_strings([3], &["a", "", "ccc"]).unwrap();
        let part = TensorHandle::free_of_charge(words).sliced(1, [2].into()).unwrap();
        assert_eq!(part.read_blobs(0, 2).unwrap(), [b"".to_vec(), b"ccc".to_vec()]);
    }

    #[test]
    fn a_slice_beyond_the_end_is_refused() {
        let mut handle = TensorHandle::zeroed(DataType::Uint8, [4].into(), &account()).unwrap();
        for (first, shape) in [(3, [2]), (u64::MAX, [1]), (0, [u64::MAX])] {
            assert!(handle.sliced(first, shape.into()).is_err());
        }
    }

    #[test]
    fn nothing_is_allocated_beyond_the_account() {
        let account = account();
        assert!(TensorHandle::zeroed(DataType::Uint8, [1 << 40].into(), &account).is_err());
        let held = TensorHandle::zeroed(DataType::Uint8, [600].into(), &account).unwrap();
        assert!(TensorHandle::zeroed(DataType::Uint8, [600].into(), &account).is_err());
        drop(held);
        assert!(TensorHandle::zeroed(DataType::Uint8, [600].into(), &account).is_ok());
    }
}
