//! A queue of work for a device, and the copies that go through it.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use cudarc::driver::CudaStream;
use nereid_tensor::{Buffer, DeviceError};
use parking_lot::Mutex;

use crate::{allocation::DeviceAllocation, driver, gpu::Gpu};

/// A stream in the hands of one user. What it was told is done in order, and done for sure once it is synchronised.
pub struct GpuStream {
    gpu: Arc<Gpu>,
    stream: Arc<CudaStream>,
    /// Whether threads that wait for it keep their processors.
    spins: bool,
    /// What copies under way read from.
    sources: Mutex<Vec<Buffer>>,
}

// === impl GpuStream ===

impl GpuStream {
    pub(crate) fn new(gpu: Arc<Gpu>, stream: Arc<CudaStream>) -> Self {
        Self { gpu, stream, spins: false, sources: Mutex::default() }
    }

    /// The same stream, for threads that do not sleep while they wait for it: an end is seen sooner, by some microseconds, and
    /// a processor is busy until then.
    pub fn spinning(mut self, spins: bool) -> Self {
        self.spins = spins;
        self
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The stream as kernels are launched on it.
    pub fn cuda(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Memory for use on this stream, and by everybody else once it is synchronised; not written yet.
    ///
    /// # Errors
    /// The device has not that much.
    pub fn allocate(&self, length_bytes: usize) -> Result<DeviceAllocation, DeviceError> {
        DeviceAllocation::new(&self.gpu, &self.stream, length_bytes)
    }

    /// Copies `source`, from the host or from any device, to byte `offset` of `target`. The source is kept until the stream
    /// is synchronised.
    ///
    /// # Errors
    /// It does not fit, or the driver refused.
    pub fn fill(&self, target: &mut DeviceAllocation, offset: usize, source: &Buffer) -> Result<(), DeviceError> {
        let length = source.len();
        if offset.checked_add(length).is_none_or(|end| end > target.len()) {
            let problem = format!("{length} bytes at byte {offset} do not fit an allocation of {} bytes", target.len());
            return Err(self.gpu.error(problem));
        }
        self.copy_in(target.address() + offset as u64, source)
    }

    /// Writes zeros to these bytes of `target`.
    ///
    /// # Errors
    /// They are not all there, or the driver refused.
    pub fn clear(&self, target: &mut DeviceAllocation, range: Range<usize>) -> Result<(), DeviceError> {
        if range.end > target.len() {
            let problem = format!("bytes {range:?} are not all in an allocation of {} bytes", target.len());
            return Err(self.gpu.error(problem));
        }
        if range.is_empty() {
            return Ok(());
        }
        let cleared = driver::clear(&self.stream, target.address() + range.start as u64, range.len());
        self.gpu.said(&format!("{} bytes could not be cleared", range.len()), cleared)
    }

    /// Copies the bytes at `address` to `target`; complete on return. The address belongs to memory that the caller keeps.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn copy_out(&self, address: u64, target: &mut [u8]) -> Result<(), DeviceError> {
        if target.is_empty() {
            return Ok(());
        }
        let length = target.len();
        self.gpu.copied.to_host.fetch_add(length as u64, Ordering::Relaxed);
        let copied = driver::copy_to_host(&self.stream, target, address);
        self.gpu.said(&format!("{length} bytes could not be copied to the host"), copied)
    }

    /// Waits until everything that the stream was told is done.
    ///
    /// # Errors
    /// Something of it failed.
    pub fn synchronise(&self) -> Result<(), DeviceError> {
        let synchronised = if self.spins { driver::spin(&self.stream) } else { self.stream.synchronize() };
        self.sources.lock().clear();
        self.gpu.said("work on the device failed", synchronised)
    }

    /// Copies `source` to `address`, whose memory has room for it.
    pub(crate) fn copy_in(&self, address: u64, source: &Buffer) -> Result<(), DeviceError> {
        if source.is_empty() {
            return Ok(());
        }
        self.sources.lock().push(source.clone());
        let copied = match source.device() {
            Some(span) => driver::copy_on_device(&self.stream, address, span.address, span.length_bytes),
            None => {
                self.gpu.copied.to_device.fetch_add(source.len() as u64, Ordering::Relaxed);
                driver::copy_to_device(&self.stream, address, source.as_slice())
            }
        };
        self.gpu.said(&format!("{} bytes could not be copied to the device", source.len()), copied)
    }
}

impl Drop for GpuStream {
    fn drop(&mut self) {
        // A stream that failed to finish is not given to the next user.
        if self.sources.get_mut().is_empty() || self.stream.synchronize().is_ok() {
            self.gpu.streams.lock().push(Arc::clone(&self.stream));
        }
    }
}
