//! A stream of a device, on which an instance computes.

use std::{
    ptr::{self, NonNull},
    sync::Arc,
};

use nereid_gpu::Gpu;

use super::{Torch, raw::RawStream};

/// One of LibTorch's streams; executions on it follow each other.
pub(crate) struct Stream {
    torch: &'static Torch,
    stream: NonNull<RawStream>,
    gpu: Arc<Gpu>,
}

// SAFETY: the shim keeps a number in it, which any thread may use.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

// === impl Stream ===

impl Stream {
    /// A stream of `gpu`.
    ///
    /// # Errors
    /// LibTorch's own words.
    pub(crate) fn new(torch: &'static Torch, gpu: &Arc<Gpu>) -> Result<Self, String> {
        let mut error = ptr::null_mut();
        // SAFETY: `error` is ours to write to; a device that does not exist is an error.
        let stream = unsafe { (torch.functions.new_stream)(gpu.ordinal(), &raw mut error) };
        let stream = NonNull::new(stream).ok_or_else(|| torch.text(error))?;
        Ok(Self { torch, stream, gpu: Arc::clone(gpu) })
    }

    /// Whether the device can still be used, after an execution failed: an access that went astray is remembered by the
    /// driver, and everything after it fails until the process ends.
    ///
    /// # Errors
    /// The driver's words.
    pub(crate) fn check_device(&self) -> Result<(), String> {
        let mut error = ptr::null_mut();
        // SAFETY: `error` is ours to write to.
        match unsafe { (self.torch.functions.synchronise)(self.gpu.ordinal(), &raw mut error) } {
            0 => Ok(()),
            _ => Err(self.torch.text(error)),
        }
    }

    pub(crate) fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    pub(super) fn as_ptr(&self) -> *const RawStream {
        self.stream.as_ptr()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream came from the shim and is freed here alone; no execution is under way, since each borrows it.
        unsafe { (self.torch.functions.free_stream)(self.stream.as_ptr()) };
    }
}
