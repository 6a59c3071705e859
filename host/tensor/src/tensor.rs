//! A tensor that cannot be inconsistent.

use std::borrow::Cow;

use bytemuck::Pod;
use thiserror::Error;

use crate::{Buffer, BufferMut, BytesElements, DataType, DeviceError, Shape, encode_bytes_elements};

/// Elements of one type in one shape, over bytes that are shared.
///
/// Fixed-size elements are little endian and dense, row-major. `BYTES` elements keep the wire encoding.
#[derive(Clone, Debug)]
pub struct Tensor {
    data_type: DataType,
    shape: Shape,
    buffer: Buffer,
}

/// Type, shape and bytes do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TensorError {
    #[error("shape {shape} of {data_type} elements needs more bytes than can be addressed")]
    Overflow { data_type: DataType, shape: Shape },
    #[error("expected {expected_bytes} bytes for shape {shape} of {data_type}, got {found_bytes}")]
    ByteSize { data_type: DataType, shape: Shape, expected_bytes: usize, found_bytes: usize },
    #[error("expected {expected} string elements for shape {shape}, got {found}")]
    ElementCount { shape: Shape, expected: u64, found: u64 },
    #[error(
        "incomplete string element at byte {offset} of {length_bytes}: its length field or its bytes reach beyond the end"
    )]
    Encoding { offset: usize, length_bytes: usize },
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A Rust number that is the element of one [`DataType`].
pub trait Element: Pod {
    /// The protocol's type of the same layout.
    const DATA_TYPE: DataType;
}

macro_rules! elements {
    ($($rust:ty => $variant:ident),* $(,)?) => {
        $(impl Element for $rust { const DATA_TYPE: DataType = DataType::$variant; })*
    };
}

elements! {
    u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64,
    i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64,
    f32 => Fp32, f64 => Fp64,
}

// === impl Tensor ===

impl Tensor {
    /// A tensor over `buffer`, checked: the only door.
    ///
    /// `BYTES` in external memory or on a device are copied first: their lengths are read again whenever they are
    /// walked, and must still be those that were checked.
    ///
    /// # Errors
    /// The bytes are not what the type and the shape call for; `BYTES` encodings are walked to the end. A device with
    /// `BYTES` could not be read.
    pub fn new(data_type: DataType, shape: Shape, buffer: Buffer) -> Result<Self, TensorError> {
        if data_type == DataType::Bytes {
            let buffer = buffer.into_private()?;
            check_bytes_encoding(&shape, buffer.as_slice())?;
            return Ok(Self { data_type, shape, buffer });
        }
        check_byte_size(data_type, &shape, buffer.len())?;
        Ok(Self { data_type, shape, buffer })
    }

    /// The same elements in memory of the host that nobody else can change; copies external memory and memory of a
    /// device, and only that.
    ///
    /// # Errors
    /// The device could not be read.
    pub fn into_private(self) -> Result<Self, DeviceError> {
        Ok(Self { buffer: self.buffer.into_private()?, ..self })
    }

    /// The same elements in memory of the host; memory of the host is not copied. Blocks while a device is read.
    ///
    /// # Errors
    /// The device could not be read.
    pub fn on_host(&self) -> Result<Self, DeviceError> {
        Ok(Self { buffer: self.buffer.on_host()?, ..self.clone() })
    }

    /// A tensor of numbers, copied once into aligned memory.
    ///
    /// # Errors
    /// The shape does not hold `values.len()` elements.
    pub fn from_elements<T: Element>(shape: impl Into<Shape>, values: &[T]) -> Result<Self, TensorError> {
        let buffer = BufferMut::copy_of(bytemuck::cast_slice(values)).freeze();
        Self::new(T::DATA_TYPE, shape.into(), buffer)
    }

    /// A `BYTES` tensor, encoded once.
    ///
    /// # Errors
    /// The shape does not hold `elements.len()` elements.
    pub fn from_byte_strings<E: AsRef<[u8]>>(shape: impl Into<Shape>, elements: &[E]) -> Result<Self, TensorError> {
        Self::new(DataType::Bytes, shape.into(), encode_bytes_elements(elements).into())
    }

    /// Type of the elements.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Extent in each dimension.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The bytes, shared.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The bytes, given away.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Number of elements.
    pub fn element_count(&self) -> u64 {
        self.shape.checked_element_count().unwrap_or(0)
    }

    /// Length of the bytes.
    pub fn byte_size(&self) -> usize {
        self.buffer.len()
    }

    /// The numbers, borrowed where the memory is aligned for `T` and copied where it is not; `None` for another type.
    pub fn elements<T: Element>(&self) -> Option<Cow<'_, [T]>> {
        if T::DATA_TYPE != self.data_type {
            return None;
        }
        let bytes = self.buffer.as_slice();
        Some(match bytemuck::try_cast_slice(bytes) {
            Ok(aligned) => Cow::Borrowed(aligned),
            Err(_) => Cow::Owned(bytemuck::allocation::pod_collect_to_vec(bytes)),
        })
    }

    /// The byte strings of a `BYTES` tensor; empty for another type.
    pub fn byte_strings(&self) -> impl Iterator<Item = &[u8]> {
        let encoded = if self.data_type == DataType::Bytes { self.buffer.as_slice() } else { &[] };
        BytesElements::new(encoded).filter_map(Result::ok)
    }

    /// The same bytes under another shape of as many elements.
    ///
    /// # Errors
    /// The element counts differ.
    pub fn reshaped(&self, shape: Shape) -> Result<Self, TensorError> {
        if shape.checked_element_count() == self.shape.checked_element_count() {
            return Ok(Self { shape, ..self.clone() });
        }
        Self::new(self.data_type, shape, self.buffer.clone())
    }
}

fn check_byte_size(data_type: DataType, shape: &Shape, found_bytes: usize) -> Result<(), TensorError> {
    match shape.byte_size(data_type) {
        Some(expected_bytes) if expected_bytes == found_bytes => Ok(()),
        Some(expected_bytes) => {
            Err(TensorError::ByteSize { data_type, shape: shape.clone(), expected_bytes, found_bytes })
        }
        None => Err(TensorError::Overflow { data_type, shape: shape.clone() }),
    }
}

fn check_bytes_encoding(shape: &Shape, encoded: &[u8]) -> Result<(), TensorError> {
    let overflow = || TensorError::Overflow { data_type: DataType::Bytes, shape: shape.clone() };
    let expected = shape.checked_element_count().ok_or_else(overflow)?;
    let mut found = 0;
    for element in BytesElements::new(encoded) {
        element.map_err(|offset| TensorError::Encoding { offset, length_bytes: encoded.len() })?;
        found += 1;
    }
    if found == expected {
        return Ok(());
    }
    Err(TensorError::ElementCount { shape: shape.clone(), expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_bytes_that_do_not_fill_the_shape() {
        let error = Tensor::new(DataType::Fp32, [2, 2].into(), vec![0; 12].into()).unwrap_err();
        assert_eq!(error.to_string(), "expected 16 bytes for shape [2,2] of FP32, got 12");
    }

    #[test]
    fn refuses_a_shape_that_cannot_be_addressed() {
        let error = Tensor::new(DataType::Fp64, [i64::MAX as u64].into(), Buffer::default()).unwrap_err();
        assert!(matches!(error, TensorError::Overflow { .. }));
    }

    #[test]
    fn refuses_the_wrong_number_of_strings() {
        let error = Tensor::from_byte_strings([3], &["a", "b"]).unwrap_err();
        assert_eq!(error, TensorError::ElementCount { shape: [3].into(), expected: 3, found: 2 });
    }

    #[test]
    fn reads_misaligned_numbers_through_a_copy() {
        let mut bytes = vec![0_u8];
        bytes.extend_from_slice(bytemuck::cast_slice(&[1.5_f32, -2.0]));
        let buffer = Buffer::from(bytes).slice(1..9).unwrap();
        let tensor = Tensor::new(DataType::Fp32, [2].into(), buffer).unwrap();
        assert_eq!(tensor.elements::<f32>().unwrap().as_ref(), &[1.5, -2.0]);
        assert!(tensor.elements::<i32>().is_none());
    }

    #[test]
    fn only_strings_are_copied_out_of_external_memory() {
        let strings = Buffer::external(crate::encode_bytes_elements(&["ab"]));
        assert!(!Tensor::new(DataType::Bytes, [1].into(), strings).unwrap().buffer().is_external());
        let numbers = Buffer::external(vec![0; 8].into());
        let numbers = Tensor::new(DataType::Fp32, [2].into(), numbers).unwrap();
        assert!(numbers.buffer().is_external());
        assert!(!numbers.into_private().unwrap().buffer().is_external());
    }

    #[test]
    fn strings_read_back() {
        let tensor = Tensor::from_byte_strings([1, 2], &["one", ""]).unwrap();
        assert_eq!(tensor.byte_strings().collect::<Vec<_>>(), [b"one".as_slice(), b""]);
    }
}
