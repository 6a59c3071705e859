//! Tensors: the host's typed, shaped bytes, held by handle.
//!
//! Reading and writing copy once. What is larger than one piece is copied piece by piece: that keeps a copy within the
//! cache, at half the time and a bounded amount of guest memory beside the result. Elements are decoded from their
//! bytes, so that it does not matter how the host's bytes are aligned.

mod element;

use std::fmt;

pub use self::element::Element;
use crate::{
    DataType, Error,
    bindings::nereid::plugin::{tensors, types},
};

/// Bytes copied at once; measured to be fastest on server processors, whose second-level caches hold it twice.
const PIECE_BYTES: u32 = 64 * 1024;

/// A host-owned buffer with an element type and a shape. Cheap to hold and to hand on; cloning is [`Tensor::share`].
pub struct Tensor {
    handle: tensors::Tensor,
    /// For error texts; tensors that a plugin makes have none.
    name: Option<String>,
}

// === impl Tensor ===

impl Tensor {
    pub(crate) fn named(handle: tensors::Tensor, name: String) -> Self {
        Self { handle, name: Some(name) }
    }

    pub(crate) fn unnamed(handle: tensors::Tensor) -> Self {
        Self { handle, name: None }
    }

    pub(crate) fn handle(&self) -> &tensors::Tensor {
        &self.handle
    }

    pub(crate) fn into_handle(self) -> tensors::Tensor {
        self.handle
    }

    /// A tensor of zeroes, to be filled with [`Tensor::write`]. Not for `BYTES`.
    ///
    /// # Errors
    /// The shape is too large for the plugin's limit.
    pub fn zeroed(data_type: DataType, shape: &[u64]) -> Result<Self, Error> {
        Self::made(tensors::Tensor::create(data_type, shape))
    }

    /// A tensor of numbers: `Tensor::from_elements(&[2, 2], &[1_i64, 2, 3, 4])`.
    ///
    /// # Errors
    /// The shape calls for another number of elements, or is too large for the plugin's limit.
    pub fn from_elements<T: Element>(shape: &[u64], elements: &[T]) -> Result<Self, Error> {
        let mut bytes = Vec::with_capacity(size_of_val(elements));
        elements.iter().for_each(|element| element.append_to(&mut bytes));
        Self::made(tensors::Tensor::from_bytes(T::DATA_TYPE, shape, &bytes))
    }

    /// An `FP32` tensor: as [`Tensor::from_elements`], without a copy on the way.
    ///
    /// # Errors
    /// As of [`Tensor::from_elements`].
    pub fn from_f32(shape: &[u64], elements: &[f32]) -> Result<Self, Error> {
        Self::made(tensors::Tensor::from_f32(shape, elements))
    }

    /// A tensor of any type over a copy of its bytes: little endian, dense, row-major.
    ///
    /// # Errors
    /// `bytes` is not as long as type and shape call for.
    pub fn from_bytes(data_type: DataType, shape: &[u64], bytes: &[u8]) -> Result<Self, Error> {
        Self::made(tensors::Tensor::from_bytes(data_type, shape, bytes))
    }

    /// A `BYTES` tensor of texts, encoded images and the like: `Tensor::from_blobs(&[2], &["cat", "dog"])`.
    ///
    /// # Errors
    /// As of [`Tensor::from_elements`].
    pub fn from_blobs<B: AsRef<[u8]>>(shape: &[u64], blobs: &[B]) -> Result<Self, Error> {
        let blobs: Vec<Vec<u8>> = blobs.iter().map(|blob| blob.as_ref().to_vec()).collect();
        Self::made(tensors::Tensor::from_blobs(shape, &blobs))
    }

    /// The type of the elements.
    pub fn data_type(&self) -> DataType {
        self.handle.dtype()
    }

    /// The extent in each dimension. Where the model batches, the first dimension is the batch.
    pub fn shape(&self) -> Vec<u64> {
        self.handle.shape()
    }

    /// The number of elements.
    pub fn element_count(&self) -> u64 {
        self.handle.element_count()
    }

    /// The length in bytes; for `BYTES` that of the wire encoding.
    pub fn byte_size(&self) -> u64 {
        self.handle.byte_size()
    }

    /// All elements of an `FP32` tensor.
    ///
    /// # Errors
    /// The tensor has another type.
    pub fn as_f32(&self) -> Result<Vec<f32>, Error> {
        self.expect(DataType::Fp32)?;
        let count = self.fitting(self.element_count())?;
        let mut elements = Vec::with_capacity(count as usize);
        for (first, length) in pieces(count, PIECE_BYTES / size_of::<f32>() as u32) {
            elements.append(&mut self.handle.read_f32(first, length)?);
        }
        Ok(elements)
    }

    /// All elements of a tensor of numbers: `tensor.elements::<i64>()?`.
    ///
    /// # Errors
    /// The tensor has another type.
    pub fn elements<T: Element>(&self) -> Result<Vec<T>, Error> {
        self.expect(T::DATA_TYPE)?;
        let size = self.fitting(self.byte_size())?;
        let mut elements = Vec::with_capacity(size as usize / size_of::<T>());
        for (offset, length) in pieces(size, PIECE_BYTES) {
            let piece = self.handle.read(offset, length)?;
            elements.extend(piece.chunks_exact(size_of::<T>()).map(T::from_le));
        }
        Ok(elements)
    }

    /// All bytes of the buffer; for `BYTES` the wire encoding.
    ///
    /// # Errors
    /// The buffer does not fit into a plugin's memory.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let size = self.fitting(self.byte_size())?;
        let mut bytes = Vec::with_capacity(size as usize);
        for (offset, length) in pieces(size, PIECE_BYTES) {
            bytes.append(&mut self.handle.read(offset, length)?);
        }
        Ok(bytes)
    }

    /// All elements of a `BYTES` tensor.
    ///
    /// # Errors
    /// The tensor has another type.
    pub fn blobs(&self) -> Result<Vec<Vec<u8>>, Error> {
        self.expect(DataType::Bytes)?;
        Ok(self.handle.read_blobs(0, self.fitting(self.element_count())?)?)
    }

    /// One element of a `BYTES` tensor: where elements are large, less memory than all of them at once.
    ///
    /// # Errors
    /// The tensor has another type, or not so many elements.
    pub fn blob(&self, index: u32) -> Result<Vec<u8>, Error> {
        self.expect(DataType::Bytes)?;
        let blob = self.handle.read_blobs(index, 1)?.pop();
        blob.ok_or_else(|| Error::internal(format_args!("{} has no element {index}", self.called())))
    }

    /// All elements of a `BYTES` tensor as texts.
    ///
    /// # Errors
    /// The tensor has another type, or an element is not UTF-8.
    pub fn texts(&self) -> Result<Vec<String>, Error> {
        let texts = self.blobs()?.into_iter().enumerate();
        let decoded = texts.map(|(index, blob)| {
            String::from_utf8(blob).map_err(|error| {
                Error::invalid_argument(format_args!("element {index} of {} is not UTF-8: {error}", self.called()))
            })
        });
        decoded.collect()
    }

    /// Overwrites elements from element `first` on. Only this handle sees the change.
    ///
    /// # Errors
    /// The tensor has another type, or not so many elements.
    pub fn write<T: Element>(&mut self, first: u32, elements: &[T]) -> Result<(), Error> {
        self.expect(T::DATA_TYPE)?;
        let mut offset = u64::from(first) * size_of::<T>() as u64;
        for piece in elements.chunks(PIECE_BYTES as usize / size_of::<T>()) {
            let mut bytes = Vec::with_capacity(size_of_val(piece));
            piece.iter().for_each(|element| element.append_to(&mut bytes));
            self.handle.write(self.fitting(offset)?, &bytes)?;
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// Another handle on the same tensor. Costs no copy.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { handle: self.handle.share(), name: self.name.clone() }
    }

    /// The same buffer under another shape of as many elements. Costs no copy.
    ///
    /// # Errors
    /// The shape has another number of elements.
    pub fn reshape(&self, shape: &[u64]) -> Result<Self, Error> {
        Ok(Self { handle: self.handle.reshape(shape)?, name: self.name.clone() })
    }

    /// The elements from number `first` on, as many as `shape` holds. Costs no copy.
    ///
    /// # Errors
    /// They reach beyond the end.
    pub fn slice(&self, first: u64, shape: &[u64]) -> Result<Self, Error> {
        Ok(Self { handle: self.handle.slice(first, shape)?, name: self.name.clone() })
    }

    fn made(handle: Result<tensors::Tensor, types::Error>) -> Result<Self, Error> {
        Ok(Self { handle: handle?, name: None })
    }

    fn expect(&self, expected: DataType) -> Result<(), Error> {
        let found = self.data_type();
        if found == expected {
            return Ok(());
        }
        let text = format!("{} has type {}, expected {}", self.called(), title(found), title(expected));
        Err(Error::invalid_argument(text))
    }

    /// A number of bytes or elements as the contract counts them: a plugin's memory ends at 4 GiB.
    fn fitting(&self, number: u64) -> Result<u32, Error> {
        u32::try_from(number).map_err(|_| {
            let called = self.called();
            Error::resource_exhausted(format_args!("{called} is too large to be read at once: use `slice`"))
        })
    }

    fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| "a tensor".to_owned(), |name| format!("tensor '{name}'"))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensor").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Start and length of each piece of `total`.
fn pieces(total: u32, piece: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..total).step_by(piece as usize).map(move |start| (start, piece.min(total - start)))
}

/// The protocol's word for a type.
fn title(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "BOOL",
        DataType::Uint8 => "UINT8",
        DataType::Uint16 => "UINT16",
        DataType::Uint32 => "UINT32",
        DataType::Uint64 => "UINT64",
        DataType::Int8 => "INT8",
        DataType::Int16 => "INT16",
        DataType::Int32 => "INT32",
        DataType::Int64 => "INT64",
        DataType::Fp16 => "FP16",
        DataType::Bf16 => "BF16",
        DataType::Fp32 => "FP32",
        DataType::Fp64 => "FP64",
        DataType::Bytes => "BYTES",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_once() {
        assert_eq!(pieces(0, 4).collect::<Vec<_>>(), []);
        assert_eq!(pieces(4, 4).collect::<Vec<_>>(), [(0, 4)]);
        assert_eq!(pieces(10, 4).collect::<Vec<_>>(), [(0, 4), (4, 4), (8, 2)]);
    }
}
