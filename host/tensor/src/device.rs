//! Bytes in the memory of a device, as far as somebody without the device's library has to know them.
//!
//! Promises: bytes behind a [`DeviceMemory`] are complete. Whoever made them has waited for the device, so that any
//! stream, context or framework of the process may read them at once.

use std::{fmt, ops::Range};

use bytes::Bytes;
use thiserror::Error;

/// Memory of a CUDA device that stays allocated for as long as this value lives.
pub trait DeviceMemory: fmt::Debug + Send + Sync + 'static {
    /// The ordinal of the device, counted by CUDA.
    fn device_id(&self) -> i32;

    /// The address of the first byte in the device's address space, of the process's primary context.
    fn address(&self) -> u64;

    /// Length in bytes.
    fn length_bytes(&self) -> usize;

    /// A copy of the bytes `range`, which lies inside, in memory of the host. Blocks until it is made.
    ///
    /// # Errors
    /// The device cannot be read, or there is no host memory for the copy.
    fn read(&self, range: Range<usize>) -> Result<Bytes, DeviceError>;
}

/// A device did not do what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("GPU {device_id}: {problem}")]
pub struct DeviceError {
    pub device_id: i32,
    /// What was tried, and what the driver said.
    pub problem: String,
}

/// Where the bytes of a buffer are on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSpan {
    pub device_id: i32,
    /// In the device's address space, of the process's primary context.
    pub address: u64,
    pub length_bytes: usize,
}
