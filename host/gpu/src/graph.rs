//! Work of a stream that is recorded once and launched in one call as often as one likes: CUDA graphs.
//!
//! What is recorded are addresses, not what they belong to: whoever launches a graph keeps all the memory that it was
//! recorded with.

use std::sync::Arc;

use nereid_tensor::DeviceError;

use crate::{
    driver::Recording,
    gpu::{Gpu, log_failure},
    stream::GpuStream,
};

/// A recording, launched on the stream that it was made with.
pub struct GpuGraph {
    gpu: Arc<Gpu>,
    recording: Recording,
}

// === impl GpuStream ===

impl GpuStream {
    /// Records what `work` tells this stream, which does none of it yet. Meanwhile nothing can wait for the stream, and this
    /// thread can allocate nothing outside of it.
    ///
    /// # Errors
    /// What `work` says, or the driver: something was told that cannot be recorded. The stream works as before.
    pub fn record(&self, work: impl FnOnce() -> Result<(), String>) -> Result<GpuGraph, DeviceError> {
        let gpu = self.gpu();
        gpu.said("nothing can be recorded", Recording::begin(self.cuda()))?;
        let told = work();
        // Whatever was said, the stream must leave the recording.
        let ended = Recording::end(self.cuda());
        told.map_err(|problem| gpu.error(problem))?;
        let recording = gpu.said("what was recorded cannot be launched", ended)?;
        Ok(GpuGraph { gpu: Arc::clone(gpu), recording })
    }
}

// === impl GpuGraph ===

impl GpuGraph {
    /// Tells the stream everything that was recorded; done when the stream is synchronised.
    ///
    /// # Errors
    /// The driver refused.
    pub fn launch(&mut self) -> Result<(), DeviceError> {
        let launched = self.recording.launch();
        self.gpu.said("a recording could not be launched", launched)
    }
}

impl Drop for GpuGraph {
    fn drop(&mut self) {
        // The recording goes after this, and the driver wants the device's context for it.
        log_failure("a recording of a GPU could not be freed", self.gpu.context().bind_to_thread());
    }
}
