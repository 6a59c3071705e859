//! Bytes that are shared, not copied.
//!
//! A [`Buffer`] is a cheap, cloneable, read-only view of memory that somebody else owns: a request body, an allocation
//! of ours, later a shared-memory region or device memory. Cloning and slicing cost a reference count.
//! A [`BufferMut`] is memory that nobody else sees yet: a backend writes into it, then freezes it.

use std::{fmt, ops::Range};

use bytemuck::{Pod, Zeroable};
use bytes::Bytes;

/// Every [`BufferMut`] starts at a multiple of this: a cache line, and the widest vector register in use.
pub const ALIGNMENT_BYTES: usize = 64;

/// A read-only view of host memory.
#[derive(Clone, Default)]
pub struct Buffer {
    bytes: Bytes,
}

/// Zeroed host memory, aligned to [`ALIGNMENT_BYTES`], that is still private to its creator.
pub struct BufferMut {
    lines: Vec<CacheLine>,
    length_bytes: usize,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct CacheLine([u8; ALIGNMENT_BYTES]);

// === impl Buffer ===

impl Buffer {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A view of a part of the same memory; `None` when the range reaches beyond the end.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let inside = range.start <= range.end && range.end <= self.bytes.len();
        inside.then(|| Self { bytes: self.bytes.slice(range) })
    }

    /// The same memory as the type that sockets write from.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether the memory starts at a multiple of `alignment_bytes`.
    pub fn is_aligned_to(&self, alignment_bytes: usize) -> bool {
        (self.bytes.as_ptr() as usize).is_multiple_of(alignment_bytes)
    }
}

impl From<Bytes> for Buffer {
    fn from(bytes: Bytes) -> Self {
        Self { bytes }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into() }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}

// === impl BufferMut ===

impl BufferMut {
    /// Allocates `length_bytes` zeroed bytes.
    pub fn zeroed(length_bytes: usize) -> Self {
        let lines = bytemuck::allocation::zeroed_vec(length_bytes.div_ceil(ALIGNMENT_BYTES));
        Self { lines, length_bytes }
    }

    /// A private, aligned copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        buffer.as_mut_slice().copy_from_slice(bytes);
        buffer
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.length_bytes
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length_bytes == 0
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines).get(..self.length_bytes).unwrap_or_default()
    }

    /// The bytes to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.lines).get_mut(..self.length_bytes).unwrap_or_default()
    }

    /// Makes the memory shareable; it is read-only from now on. Costs no copy.
    pub fn freeze(self) -> Buffer {
        Buffer { bytes: Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for BufferMut {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freezing_keeps_the_address_and_the_alignment() {
        let mut private = BufferMut::zeroed(100);
        private.as_mut_slice().fill(7);
        let address = private.as_slice().as_ptr();
        let shared = private.freeze();
        assert_eq!(shared.as_slice().as_ptr(), address);
        assert!(shared.is_aligned_to(ALIGNMENT_BYTES));
        assert_eq!(shared.as_slice(), &[7; 100]);
    }

    #[test]
    fn slicing_beyond_the_end_is_refused() {
        let buffer = Buffer::from(vec![1, 2, 3]);
        assert!(buffer.slice(1..4).is_none());
        assert_eq!(buffer.slice(1..3).unwrap().as_slice(), &[2, 3]);
    }
}
