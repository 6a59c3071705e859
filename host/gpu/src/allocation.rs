//! Memory of a device that we allocated.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use cudarc::driver::CudaStream;
use nereid_tensor::{Buffer, DeviceError, DeviceMemory};

use crate::{
    driver,
    gpu::{Gpu, log_failure},
};

/// Memory of a device, freed when it is dropped, after what the stream that it came from was told before.
///
/// It holds whatever was in the device's memory until it is written; whoever turns it into a buffer has written all of it
/// and synchronised the stream.
#[derive(Debug)]
pub struct DeviceAllocation {
    gpu: Arc<Gpu>,
    stream: Arc<CudaStream>,
    address: u64,
    length_bytes: usize,
}

// === impl DeviceAllocation ===

impl DeviceAllocation {
    /// `length_bytes` bytes for use on `stream`.
    pub(crate) fn new(gpu: &Arc<Gpu>, stream: &Arc<CudaStream>, length_bytes: usize) -> Result<Self, DeviceError> {
        // The driver has no empty allocations.
        let allocated = driver::allocate(stream, length_bytes.max(1));
        let address = gpu.said(&format!("{length_bytes} bytes could not be allocated"), allocated)?;
        Ok(Self { gpu: Arc::clone(gpu), stream: Arc::clone(stream), address, length_bytes })
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// In the address space of the device's primary context.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.length_bytes
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length_bytes == 0
    }

    /// The memory as a buffer: written as a whole, the stream synchronised.
    pub fn into_buffer(self) -> Buffer {
        Buffer::of_device(Arc::new(self))
    }
}

impl DeviceMemory for DeviceAllocation {
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

impl Drop for DeviceAllocation {
    fn drop(&mut self) {
        log_failure("memory of a GPU could not be freed", driver::free(&self.stream, self.address));
    }
}
