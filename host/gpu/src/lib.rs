//! CUDA devices: which there are, their memory, copies to and from it, streams, recordings of them, memory of other processes, and
//! what the devices say of themselves.
//!
//! Invariants: without a driver or a device there is an empty [`Gpus`] that says why, and nothing else of this crate can be
//! reached; no call panics for want of a library. Memory that is handed out as a buffer is complete and stays allocated
//! for as long as the buffer lives. Contexts are the primary ones, which LibTorch and ONNX Runtime use too, so that
//! addresses mean the same to all.
//!
//! Deliberately absent: models, kernels and what is done with memory.

mod allocation;
mod driver;
mod gpu;
mod gpus;
mod graph;
mod ipc;
mod owned;
mod pinned;
mod readings;
mod stream;

pub use cudarc;

pub use crate::{
    allocation::DeviceAllocation,
    gpu::{Gpu, MemoryInfo},
    gpus::{GpuSettings, Gpus},
    graph::GpuGraph,
    ipc::{IPC_HANDLE_BYTES, IpcMemory},
    owned::OwnedMemory,
    pinned::PinnedUsage,
    readings::{GpuReading, Readings},
    stream::GpuStream,
};
