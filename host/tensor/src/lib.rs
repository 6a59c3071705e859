//! What a tensor is: an element type, a shape and a view of bytes that somebody keeps alive.
//!
//! Invariant: a [`Tensor`] that exists is consistent. Its buffer holds exactly the bytes that its type and shape
//! call for, and a `BYTES` tensor's encoding was walked once. Nobody downstream checks again.
//!
//! Deliberately absent: async, serde, I/O and device libraries.

mod buffer;
mod bytes_elements;
mod data_type;
mod device;
mod shape;
mod tensor;

pub use crate::{
    buffer::{ALIGNMENT_BYTES, Buffer, BufferMut, ExternalBytes},
    bytes_elements::{BytesElements, encode_bytes_elements},
    data_type::{DataType, UnknownDataType},
    device::{DeviceError, DeviceMemory, DeviceSpan},
    shape::{Shape, ShapeOverflow},
    tensor::{Element, Tensor, TensorError},
};
