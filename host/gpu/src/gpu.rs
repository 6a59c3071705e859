//! One device: what it is, and its memory.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use cudarc::driver::{CudaContext, CudaStream, DriverError};
use nereid_tensor::{Buffer, DeviceError};
use parking_lot::Mutex;

use crate::{
    allocation::DeviceAllocation,
    ipc::{IPC_HANDLE_BYTES, IpcMemory},
    pinned::{PinnedBlock, PinnedPool},
    stream::GpuStream,
};

/// Reads from this size on go to page-locked memory: below it the copy costs less than the pool.
const PINNED_READ_BYTES_MIN: usize = 64 << 10;

/// A device that models may use.
pub struct Gpu {
    pub(crate) ordinal: i32,
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) compute_capability: (i32, i32),
    pub(crate) context: Arc<CudaContext>,
    pub(crate) pinned: Arc<PinnedPool>,
    /// Streams that nobody uses now.
    pub(crate) streams: Mutex<Vec<Arc<CudaStream>>>,
    pub(crate) copied: Copied,
}

/// Bytes that this crate copied between a device and the host; what libraries copy by themselves is not among them.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub(crate) to_device: AtomicU64,
    pub(crate) to_host: AtomicU64,
}

/// Memory of a device, of all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    pub free_bytes: usize,
    pub total_bytes: usize,
}

// === impl Gpu ===

impl Gpu {
    /// The device's number, counted by CUDA from 0 among those that are visible.
    pub fn ordinal(&self) -> i32 {
        self.ordinal
    }

    /// For example `NVIDIA H100 80GB HBM3`; a slice of a device has `MIG` in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `GPU-…`, or `MIG-…` for a slice of one, as `nvidia-smi -L` writes it.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Major and minor version of what the device can do.
    pub fn compute_capability(&self) -> (i32, i32) {
        self.compute_capability
    }

    /// The primary context.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Free and total memory.
    ///
    /// # Errors
    /// The device does not answer.
    pub fn memory(&self) -> Result<MemoryInfo, DeviceError> {
        let (free_bytes, total_bytes) = self.said("its memory could not be asked for", self.context.mem_get_info())?;
        Ok(MemoryInfo { free_bytes, total_bytes })
    }

    /// Bytes copied to the device and to the host since the start, without what libraries copy by themselves.
    pub fn copied_bytes(&self) -> (u64, u64) {
        let Copied { to_device, to_host } = &self.copied;
        (to_device.load(Ordering::Relaxed), to_host.load(Ordering::Relaxed))
    }

    /// A stream of one's own; goes back to the device's when it is dropped.
    ///
    /// # Errors
    /// The device makes no more of them.
    pub fn stream(self: &Arc<Self>) -> Result<GpuStream, DeviceError> {
        let idle = self.streams.lock().pop();
        let stream = match idle {
            Some(stream) => stream,
            None => self.said("no stream could be made", self.context.new_stream())?,
        };
        Ok(GpuStream::new(Arc::clone(self), stream))
    }

    /// Memory that is not written yet, for use on any stream.
    ///
    /// # Errors
    /// The device has not that much.
    pub fn allocate(self: &Arc<Self>, length_bytes: usize) -> Result<DeviceAllocation, DeviceError> {
        let stream = self.stream()?;
        let allocation = stream.allocate(length_bytes)?;
        stream.synchronise()?;
        Ok(allocation)
    }

    /// A copy of `source` in memory of this device, complete.
    ///
    /// # Errors
    /// The device has not that much memory, or the copy failed.
    pub fn upload(self: &Arc<Self>, source: &Buffer) -> Result<DeviceAllocation, DeviceError> {
        let stream = self.stream()?;
        let mut allocation = stream.allocate(source.len())?;
        stream.fill(&mut allocation, 0, source)?;
        stream.synchronise()?;
        Ok(allocation)
    }

    /// A copy of `length_bytes` bytes at `address`, which belong to memory that the caller keeps allocated; complete.
    /// In page-locked memory while its pool has room.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn read(self: &Arc<Self>, address: u64, length_bytes: usize) -> Result<Bytes, DeviceError> {
        let stream = self.stream()?;
        let pinned = (length_bytes >= PINNED_READ_BYTES_MIN)
            .then(|| PinnedBlock::take(&self.pinned, &self.context, length_bytes))
            .flatten();
        match pinned {
            Some(mut block) => {
                stream.copy_out(address, block.as_mut())?;
                Ok(Bytes::from_owner(block))
            }
            None => {
                let mut copy = vec![0; length_bytes];
                stream.copy_out(address, &mut copy)?;
                Ok(copy.into())
            }
        }
    }

    /// Memory that another process allocated on this device and gave the handle of.
    ///
    /// # Errors
    /// The handle is not one, or the memory has fewer than `length_bytes` bytes.
    pub fn open_ipc(
        self: &Arc<Self>,
        handle: [u8; IPC_HANDLE_BYTES],
        length_bytes: usize,
    ) -> Result<IpcMemory, DeviceError> {
        IpcMemory::open(self, handle, length_bytes)
    }

    /// What the driver said, with what was tried in front.
    pub(crate) fn said<T>(&self, problem: &str, result: Result<T, DriverError>) -> Result<T, DeviceError> {
        result.map_err(|error| self.error(format!("{problem}: {}", text(error))))
    }

    pub(crate) fn error(&self, problem: String) -> DeviceError {
        DeviceError { device_id: self.ordinal, problem }
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu({} {})", self.ordinal, self.name)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.pinned.clear(&self.context);
    }
}

/// The driver's own words: the name of the error and what it means.
pub(crate) fn text(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
    let meaning = error.error_string().map(|meaning| meaning.to_string_lossy().into_owned());
    match (name, meaning) {
        (Ok(name), Ok(meaning)) => format!("{meaning} ({name})"),
        _ => format!("error {} of the CUDA driver", error.0 as u32),
    }
}

/// Logs what went wrong where nobody can be told.
pub(crate) fn log_failure(what: &str, result: Result<(), DriverError>) {
    if let Err(error) = result {
        tracing::error!("{what}: {}", text(error));
    }
}
