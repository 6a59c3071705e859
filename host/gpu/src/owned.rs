//! Memory of a device that somebody else owns: a library's tensor, another process's allocation.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use nereid_tensor::{DeviceError, DeviceMemory};

use crate::gpu::Gpu;

/// Bytes on a device that stay allocated for as long as their owner lives, which is kept here.
pub struct OwnedMemory<O> {
    gpu: Arc<Gpu>,
    address: u64,
    length_bytes: usize,
    _owner: O,
}

// === impl OwnedMemory ===

impl<O> OwnedMemory<O> {
    /// `length_bytes` bytes at `address`, which `owner` keeps, complete.
    pub fn new(gpu: Arc<Gpu>, (address, length_bytes): (u64, usize), owner: O) -> Self {
        Self { gpu, address, length_bytes, _owner: owner }
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }
}

impl<O: Send + Sync + 'static> DeviceMemory for OwnedMemory<O> {
    fn device_id(&self) -> i32 {
        self.gpu.ordinal()
    }

    fn address(&self) -> u64 {
        self.address
    }

    fn length_bytes(&self) -> usize {
        self.length_bytes
    }

    fn read(&self, range: Range<usize>) -> Result<Bytes, DeviceError> {
        self.gpu.read(self.address + range.start as u64, range.len())
    }
}

impl<O> fmt::Debug for OwnedMemory<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedMemory({} bytes on {:?})", self.length_bytes, self.gpu)
    }
}
