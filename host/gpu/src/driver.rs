//! Calls of the CUDA driver that `cudarc` leaves unsafe, each with what it relies on.
//!
//! Addresses are numbers: the driver knows which of them are memory of a device and refuses the others. What it cannot
//! know is whether they still belong to whoever names them; the types of this crate see to that.
#![allow(unsafe_code)] // The C interface of the CUDA driver; every block says what it relies on.

use std::{ffi::c_void, hint, mem::MaybeUninit, ptr::NonNull, sync::Arc};

use cudarc::driver::{CudaContext, CudaGraph, CudaStream, DriverError, result, sys};

/// Page-locked memory of the host, which belongs to whoever has this value.
#[derive(Debug)]
pub(crate) struct PinnedMemory {
    address: NonNull<u8>,
    length_bytes: usize,
}

// SAFETY: the memory has one owner, who may be any thread, and is read and written through borrows of it alone.
unsafe impl Send for PinnedMemory {}
// SAFETY: as above.
unsafe impl Sync for PinnedMemory {}

/// What a stream was told while it recorded, ready to be launched on that stream.
pub(crate) struct Recording(CudaGraph);

// SAFETY: the driver's graphs may be used by any thread, one at a time: this one has one owner, and is launched through an
// exclusive borrow of it.
unsafe impl Send for Recording {}

// === impl PinnedMemory ===

impl PinnedMemory {
    /// `length_bytes` bytes, zeroed.
    pub(crate) fn allocate(context: &CudaContext, length_bytes: usize) -> Result<Self, DriverError> {
        context.bind_to_thread()?;
        // SAFETY: the driver gives that many bytes to the caller alone; they are written before anybody reads them.
        let address = unsafe {
            let address: *mut u8 = result::malloc_host(length_bytes, sys::CU_MEMHOSTALLOC_PORTABLE)?.cast();
            address.write_bytes(0, length_bytes);
            address
        };
        let address = NonNull::new(address).ok_or(DriverError(sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY))?;
        Ok(Self { address, length_bytes })
    }

    /// Gives the memory back. One that is dropped without it stays allocated until the process ends.
    pub(crate) fn free(self, context: &CudaContext) -> Result<(), DriverError> {
        context.bind_to_thread()?;
        // SAFETY: the memory came from the driver, and its one owner ends here.
        unsafe { result::free_host(self.address.as_ptr().cast()) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: that many initialised bytes are there for as long as the owner is, which is borrowed.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.length_bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the owner is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.length_bytes) }
    }
}

// === impl Recording ===

impl Recording {
    /// Has `stream` record what this thread tells it. What other threads do meanwhile does not disturb the recording.
    pub(crate) fn begin(stream: &CudaStream) -> Result<(), DriverError> {
        stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
    }

    /// Ends what [`Self::begin`] began, and takes what was recorded. The stream works again, also when this fails.
    pub(crate) fn end(stream: &Arc<CudaStream>) -> Result<Self, DriverError> {
        let recorded = stream.end_capture(sys::CUgraphInstantiate_flags(0))?;
        let invalidated = DriverError(sys::cudaError_enum::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        recorded.map(Self).ok_or(invalidated)
    }

    /// Tells the stream everything that was recorded, in one call.
    pub(crate) fn launch(&mut self) -> Result<(), DriverError> {
        self.0.launch()
    }
}

/// Whether the driver's library is there; without it every other call of `cudarc` panics.
pub(crate) fn is_present() -> bool {
    // SAFETY: opens a library by its name and closes it again; libcuda has no initialisers that expect anything.
    unsafe { sys::is_culib_present() }
}

/// Tells the device's default pool to keep `bytes` of freed memory for the next allocation.
pub(crate) fn keep_in_pool(context: &CudaContext, bytes: u64) -> Result<(), DriverError> {
    context.bind_to_thread()?;
    let mut threshold = bytes;
    let value: *mut c_void = (&raw mut threshold).cast();
    // SAFETY: the device is the context's; the attribute is a 64-bit number, which `value` points to during the call.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        sys::cuMemPoolSetAttribute(pool, sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, value).result()
    }
}

/// Memory of the device for use on `stream`, not written yet.
pub(crate) fn allocate(stream: &CudaStream, bytes: usize) -> Result<u64, DriverError> {
    let context = stream.context();
    context.bind_to_thread()?;
    // SAFETY: device memory has no type; nobody reads it before it was written, which `DeviceAllocation` promises.
    unsafe {
        match context.has_async_alloc() {
            true => result::malloc_async(stream.cu_stream(), bytes),
            false => result::malloc_sync(bytes),
        }
    }
}

/// Gives back what [`allocate`] gave, once everything that `stream` was told before is done.
pub(crate) fn free(stream: &CudaStream, address: u64) -> Result<(), DriverError> {
    let context = stream.context();
    context.bind_to_thread()?;
    // SAFETY: called by the one owner, when it is dropped, with the address and the stream of its allocation.
    unsafe {
        match context.has_async_alloc() {
            true => result::free_async(address, stream.cu_stream()),
            false => result::free_sync(address),
        }
    }
}

/// Tells `stream` to copy `source` to the device. The bytes must stay as they are until the stream is synchronised.
pub(crate) fn copy_to_device(stream: &CudaStream, target: u64, source: &[u8]) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // SAFETY: the source is readable; the one caller keeps its owner until the stream is synchronised. The driver refuses a
    // target that is no device memory of that length.
    unsafe { result::memcpy_htod_async(target, source, stream.cu_stream()) }
}

/// Copies from the device to `target`; complete on return.
pub(crate) fn copy_to_host(stream: &CudaStream, target: &mut [u8], source: u64) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // SAFETY: the target is borrowed until the stream is synchronised below, whether or not the copy was accepted; the
    // driver refuses a source that is no device memory of that length.
    let copied = unsafe { result::memcpy_dtoh_async(target, source, stream.cu_stream()) };
    let synchronised = stream.synchronize();
    copied.and(synchronised)
}

/// Tells `stream` to copy between addresses of devices, which may be different ones.
pub(crate) fn copy_on_device(stream: &CudaStream, target: u64, source: u64, bytes: usize) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // SAFETY: addresses are unified, so the driver finds the devices; it refuses what is not device memory of that length.
    unsafe { result::memcpy_dtod_async(target, source, bytes, stream.cu_stream()) }
}

/// Tells `stream` to write zeros.
pub(crate) fn clear(stream: &CudaStream, target: u64, bytes: usize) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    // SAFETY: device memory has no type, and zeros are a value of every element type that is kept there; the driver refuses
    // a target that is no device memory of that length.
    unsafe { result::memset_d8_async(target, 0, bytes, stream.cu_stream()) }
}

/// Asks again and again until everything that `stream` was told is done: the thread sees the end at once, and keeps its
/// processor until then.
pub(crate) fn spin(stream: &CudaStream) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    loop {
        // SAFETY: the stream is borrowed, so it is not destroyed yet.
        match unsafe { sys::cuStreamQuery(stream.cu_stream()) }.result() {
            Err(DriverError(sys::cudaError_enum::CUDA_ERROR_NOT_READY)) => hint::spin_loop(),
            done => return done,
        }
    }
}

/// Maps memory that another process allocated on the device; the address and how many bytes are there.
pub(crate) fn open_ipc(context: &CudaContext, handle: [u8; 64]) -> Result<(u64, usize), DriverError> {
    context.bind_to_thread()?;
    let handle = sys::CUipcMemHandle { reserved: handle.map(u8::cast_signed) };
    let peer_access = sys::CUipcMem_flags::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS as u32;
    let (mut address, mut base, mut bytes) = (MaybeUninit::uninit(), MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the driver checks the handle, and writes the address before it says that all went well.
    let address = unsafe {
        sys::cuIpcOpenMemHandle_v2(address.as_mut_ptr(), handle, peer_access).result()?;
        address.assume_init()
    };
    // SAFETY: both results are written when the driver says that all went well.
    let range = unsafe {
        sys::cuMemGetAddressRange_v2(base.as_mut_ptr(), bytes.as_mut_ptr(), address)
            .result()
            .map(|()| (base.assume_init(), bytes.assume_init()))
    };
    match range {
        Ok((base, bytes)) => Ok((address, bytes.saturating_sub(usize::try_from(address - base).unwrap_or(bytes)))),
        Err(error) => close_ipc(context, address).and(Err(error)),
    }
}

/// Unmaps what [`open_ipc`] mapped.
pub(crate) fn close_ipc(context: &CudaContext, address: u64) -> Result<(), DriverError> {
    context.bind_to_thread()?;
    // SAFETY: called once for each address that was opened; the driver counts openings of the same memory.
    unsafe { sys::cuIpcCloseMemHandle(address).result() }
}
