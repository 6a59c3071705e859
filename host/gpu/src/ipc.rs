//! Memory of a device that another process allocated: CUDA shared memory.
//!
//! The other process may write to it at any time, and may end. The mapping stays until it is closed here.

use std::sync::Arc;

use nereid_tensor::{Buffer, DeviceError, DeviceMemory as _};

use crate::{
    driver,
    gpu::{Gpu, log_failure},
    owned::OwnedMemory,
};

/// Length of the handle that `cudaIpcGetMemHandle` gives.
pub const IPC_HANDLE_BYTES: usize = 64;

/// Another process's memory, mapped for as long as this value and its views live.
#[derive(Debug)]
pub struct IpcMemory(Arc<OwnedMemory<Mapping>>);

/// Closes what was opened.
struct Mapping {
    gpu: Arc<Gpu>,
    address: u64,
}

// === impl IpcMemory ===

impl IpcMemory {
    pub(crate) fn open(
        gpu: &Arc<Gpu>,
        handle: [u8; IPC_HANDLE_BYTES],
        length_bytes: usize,
    ) -> Result<Self, DeviceError> {
        let opened = driver::open_ipc(gpu.context(), handle);
        let (address, found_bytes) = gpu.said("the handle of the memory could not be opened", opened)?;
        let mapping = Mapping { gpu: Arc::clone(gpu), address };
        if found_bytes < length_bytes {
            return Err(gpu.error(format!("the memory has {found_bytes} bytes, {length_bytes} were asked for")));
        }
        Ok(Self(Arc::new(OwnedMemory::new(Arc::clone(gpu), (address, length_bytes), mapping))))
    }

    /// The bytes, which the other process may write to.
    pub fn view(&self) -> Buffer {
        Buffer::external_of_device(self.0.clone())
    }

    /// Copies `source`, from the host or from any device, to byte `offset`; complete on return.
    ///
    /// # Errors
    /// It does not fit, or the driver refused.
    pub fn write(&self, offset: usize, source: &Buffer) -> Result<(), DeviceError> {
        let (gpu, length_bytes) = (self.0.gpu(), self.0.length_bytes());
        if offset.checked_add(source.len()).is_none_or(|end| end > length_bytes) {
            let problem = format!("{} bytes at byte {offset} of {length_bytes}", source.len());
            return Err(gpu.error(format!("shared memory is too short: {problem}")));
        }
        let stream = gpu.stream()?;
        stream.copy_in(self.0.address() + offset as u64, source)?;
        stream.synchronise()
    }
}

// === impl Mapping ===

impl Drop for Mapping {
    fn drop(&mut self) {
        log_failure("shared memory of a GPU could not be closed", driver::close_ipc(self.gpu.context(), self.address));
    }
}
