//! Bytes that are shared, not copied.
//!
//! A [`Buffer`] is a cheap, cloneable, read-only view of memory that somebody else owns: a request body, an allocation
//! of ours, a shared-memory region, later device memory. Cloning and slicing cost a reference count.
//! A [`BufferMut`] is memory that a backend writes into and then freezes: mostly private, or a client's own region.
//!
//! Memory that another process may write to while it is read is marked as external. Its bytes are what they are at the
//! moment of each look; whoever checks a value and relies on the check later takes a private copy first.

use std::{fmt, ops::Range};

use bytemuck::{Pod, Zeroable};
use bytes::Bytes;

/// Every [`BufferMut`] starts at a multiple of this: a cache line, and the widest vector register in use.
pub const ALIGNMENT_BYTES: usize = 64;

/// A read-only view of host memory.
#[derive(Clone, Default)]
pub struct Buffer {
    bytes: Bytes,
    external: bool,
}

/// Host memory to be written: zeroed, aligned to [`ALIGNMENT_BYTES`] and private to its creator, or external.
pub struct BufferMut {
    memory: Memory,
    length_bytes: usize,
}

/// Memory that other processes may read and write.
pub trait ExternalBytes: AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static {}

enum Memory {
    Private(Vec<CacheLine>),
    External(Box<dyn ExternalBytes>),
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct CacheLine([u8; ALIGNMENT_BYTES]);

// === impl Buffer ===

impl Buffer {
    /// A view of memory that another process may write to.
    pub fn external(bytes: Bytes) -> Self {
        Self { bytes, external: true }
    }

    /// Whether another process may write to the memory while it is read.
    pub fn is_external(&self) -> bool {
        self.external
    }

    /// The same bytes where nobody else can change them; copies external memory, and only that.
    pub fn into_private(self) -> Self {
        if self.external { BufferMut::copy_of(&self.bytes).freeze() } else { self }
    }

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
        inside.then(|| Self { bytes: self.bytes.slice(range), external: self.external })
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
        Self { bytes, external: false }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
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
        Self { memory: Memory::Private(lines), length_bytes }
    }

    /// The first `length_bytes` bytes of external memory, as they are; `None` when there are fewer.
    pub fn external(memory: Box<dyn ExternalBytes>, length_bytes: usize) -> Option<Self> {
        let fits = length_bytes <= (*memory).as_ref().len();
        fits.then_some(Self { memory: Memory::External(memory), length_bytes })
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
        let all = match &self.memory {
            Memory::Private(lines) => bytemuck::cast_slice(lines),
            Memory::External(memory) => (**memory).as_ref(),
        };
        all.get(..self.length_bytes).unwrap_or_default()
    }

    /// The bytes to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let all = match &mut self.memory {
            Memory::Private(lines) => bytemuck::cast_slice_mut(lines),
            Memory::External(memory) => (**memory).as_mut(),
        };
        all.get_mut(..self.length_bytes).unwrap_or_default()
    }

    /// Makes the memory shareable; it is read-only from now on. Costs no copy.
    pub fn freeze(self) -> Buffer {
        let external = matches!(self.memory, Memory::External(_));
        Buffer { bytes: Bytes::from_owner(self), external }
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

    struct Region(Vec<u8>);

    impl AsRef<[u8]> for Region {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl AsMut<[u8]> for Region {
        fn as_mut(&mut self) -> &mut [u8] {
            &mut self.0
        }
    }

    impl ExternalBytes for Region {}

    #[test]
    fn external_memory_is_written_in_place_and_stays_external() {
        let region = Box::new(Region(vec![9; 8]));
        let address = region.0.as_ptr();
        let mut target = BufferMut::external(region, 4).unwrap();
        target.as_mut_slice().fill(1);
        let written = target.freeze();
        assert_eq!((written.as_slice(), written.as_slice().as_ptr()), (&[1; 4][..], address));
        let part = written.slice(1..3).unwrap();
        assert!(part.is_external());
        let copy = part.into_private();
        assert!(!copy.is_external() && copy.as_slice() == [1, 1]);
    }

    #[test]
    fn external_memory_that_is_too_short_is_refused() {
        assert!(BufferMut::external(Box::new(Region(vec![0; 3])), 4).is_none());
    }

    #[test]
    fn private_memory_is_not_copied_to_be_private() {
        let buffer = Buffer::from(vec![1, 2]);
        let address = buffer.as_slice().as_ptr();
        assert_eq!(buffer.into_private().as_slice().as_ptr(), address);
    }

    #[test]
    fn slicing_beyond_the_end_is_refused() {
        let buffer = Buffer::from(vec![1, 2, 3]);
        assert!(buffer.slice(1..4).is_none());
        assert_eq!(buffer.slice(1..3).unwrap().as_slice(), &[2, 3]);
    }
}
