//! Memory of a device that another process allocated: CUDA shared memory.
//!
//! The other process may write to it at any time, and may end. The mapping stays until it is closed here.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use nereid_tensor::{Buffer, DeviceError, DeviceMemory};

use crate::{
    driver,
    gpu::{Gpu, log_failure},
};

/// Length of the handle that `cudaIpcGetMemHandle` gives.
pub const IPC_HANDLE_BYTES: usize = 64;

/// Another process's memory, mapped for as long as this value lives.
#[derive(Debug)]
pub struct IpcMemory {
    gpu: Arc<Gpu>,
    address: u64,
    length_bytes: usize,
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
        let memory = Self { gpu: Arc::clone(gpu), address, length_bytes };
        if found_bytes < length_bytes {
            return Err(gpu.error(format!("the memory has {found_bytes} bytes, {length_bytes} were asked for")));
        }
        Ok(memory)
    }

    /// Copies `source`, from the host or from any device, to byte `offset`; complete on return.
    ///
    /// # Errors
    /// It does not fit, or the driver refused.
    pub fn write(&self, offset: usize, source: &Buffer) -> Result<(), DeviceError> {
        if offset.checked_add(source.len()).is_none_or(|end| end > self.length_bytes) {
            let problem = format!("{} bytes at byte {offset} of {}", source.len(), self.length_bytes);
            return Err(self.gpu.error(format!("shared memory is too short: {problem}")));
        }
        let stream = self.gpu.stream()?;
        stream.copy_in(self.address + offset as u64, source)?;
        stream.synchronise()
    }
}

impl DeviceMemory for IpcMemory {
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

impl Drop for IpcMemory {
    fn drop(&mut self) {
        log_failure("shared memory of a GPU could not be closed", driver::close_ipc(self.gpu.context(), self.address));
    }
}
