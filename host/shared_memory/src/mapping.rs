//! The bytes of a shared memory object in this process.
//!
//! Other processes read and write them at any time. They are plain bytes, so whatever is read is a valid value; who looks
//! twice may see two values. See `ARCHITECTURE.md`, "Memory that a client shares".
#![allow(unsafe_code)] // Slices over memory that others write; every block says what it relies on.

use std::{fmt, fs::File, io, ops::Range, ptr, slice};

use memmap2::{MmapOptions, MmapRaw};

use crate::lost_pages::Guard;

/// A mapping that survives the loss of its object.
pub(crate) struct Mapping {
    /// Dropped first: the signal handler must forget the addresses before they are given back.
    guard: Guard,
    raw: MmapRaw,
}

// === impl Mapping ===

impl Mapping {
    /// Maps `length_bytes` bytes of `file` from byte `offset_bytes`; the file is not needed afterwards.
    ///
    /// # Errors
    /// The system refuses the mapping, or too many others exist.
    pub(crate) fn new(file: &File, offset_bytes: u64, length_bytes: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().offset(offset_bytes).len(length_bytes).map_raw(file)?;
        let guard = Guard::new(raw.as_mut_ptr(), raw.len())?;
        let full = || io::Error::other("too many mappings are still in use");
        Ok(Self { guard: guard.ok_or_else(full)?, raw })
    }

    /// Whether the object lost pages that were in use, which read as zeroes since.
    pub(crate) fn is_damaged(&self) -> bool {
        self.guard.is_damaged()
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// A part of the bytes; empty beyond the end.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        match self.pointer(&range) {
            // SAFETY: the range is inside the mapping, which lives as long as `self` and never moves. Pages that its
            // object loses are replaced by the signal handler. Other processes may write to the bytes meanwhile; no value
            // of a byte is invalid, and nothing here or above relies on two looks at a byte being equal.
            Some(start) => unsafe { slice::from_raw_parts(start, range.len()) },
            None => &[],
        }
    }

    /// A part of the bytes for a backend that writes its output into them; empty beyond the end.
    #[allow(clippy::mut_from_ref)]
    // The memory is not this process's alone in the first place.
    pub(crate) fn bytes_mut(&self, range: Range<usize>) -> &mut [u8] {
        match self.pointer(&range) {
            // SAFETY: as in `bytes`. Whoever else has a slice of the same bytes, in this process or another, sees them
            // change, as it must expect of shared memory.
            Some(start) => unsafe { slice::from_raw_parts_mut(start, range.len()) },
            None => &mut [],
        }
    }

    /// Copies `bytes`, as far as they fit, to `range`. They may lie in the same mapping, and overlap.
    pub(crate) fn write(&self, range: Range<usize>, bytes: &[u8]) {
        let Some(start) = self.pointer(&range) else { return };
        if start.cast_const() == bytes.as_ptr() {
            return;
        }
        // SAFETY: the source is a slice and the target is inside the mapping for at least as many bytes; `copy` allows
        // them to overlap.
        unsafe { ptr::copy(bytes.as_ptr(), start, bytes.len().min(range.len())) };
    }

    fn pointer(&self, range: &Range<usize>) -> Option<*mut u8> {
        let is_inside = range.start <= range.end && range.end <= self.raw.len();
        is_inside.then(|| self.raw.as_mut_ptr().wrapping_add(range.start))
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({} bytes)", self.len())
    }
}
