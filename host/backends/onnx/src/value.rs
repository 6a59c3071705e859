//! Tensors as ONNX Runtime holds them: over our memory, or in its own.
//!
//! Every value is released exactly once, by [`RuntimeTensor`]'s drop. A tensor over our memory borrows it, so that it
//! cannot outlive it; a tensor in the library's memory can be turned into a [`Buffer`] that keeps it alive.
//! Strings are copied in and out, because the library holds them as C++ strings.
#![allow(unsafe_code)] // The C interface of ONNX Runtime; every block says what it relies on.

use std::{
    ffi::{c_char, c_void},
    marker::PhantomData,
    ptr::{self, NonNull},
    slice,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use nereid_gpu::{DeviceAllocation, Gpu, OwnedMemory};
use nereid_tensor::{Buffer, DataType, Shape, Tensor};
use ort::{AsPointer as _, memory::MemoryInfo, session::Session, sys};

use crate::element_type;

/// A tensor in ONNX Runtime's form; `'m` is the life of the memory that it lies over.
pub(crate) struct RuntimeTensor<'m> {
    value: NonNull<sys::OrtValue>,
    memory: PhantomData<&'m [u8]>,
}

/// Elements in the library's memory, with what keeps them there. Fields are dropped in this order.
struct RuntimeMemory {
    data: *const u8,
    length_bytes: usize,
    _tensor: RuntimeTensor<'static>,
    _session: Arc<Session>,
}

/// What keeps elements in the library's memory of a device. Fields are dropped in this order.
struct RuntimeOwner {
    _tensor: RuntimeTensor<'static>,
    _session: Arc<Session>,
}

/// Memory that a tensor is to lie over.
struct Memory {
    /// What kind of memory it is; kept alive by the caller.
    info: *const sys::OrtMemoryInfo,
    address: usize,
    length_bytes: usize,
}

/// The description of plain host memory that the library wants with every pointer.
struct HostMemory(NonNull<sys::OrtMemoryInfo>);

// SAFETY: an OrtValue has no tie to the thread that made it, and it is used through one owner at a time.
unsafe impl Send for RuntimeTensor<'_> {}

// SAFETY: the pointer is into memory that the tensor beside it owns and that nobody writes after the run.
unsafe impl Send for RuntimeMemory {}

// SAFETY: the tensor is never looked at again, only dropped.
unsafe impl Sync for RuntimeOwner {}

// SAFETY: the object is only ever read after it is made.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

/// The status of a call as a result; frees it.
pub(crate) fn check(status: sys::OrtStatusPtr) -> Result<(), ort::Error> {
    // SAFETY: every caller passes the status that a call of the library just returned, and passes it once.
    unsafe { ort::Error::result_from_status(status) }
}

// === impl RuntimeTensor ===

impl<'m> RuntimeTensor<'m> {
    /// A tensor of fixed-size elements that the library reads from `bytes`.
    ///
    /// # Errors
    /// Whatever the library objects to, for example too few bytes for the shape.
    pub(crate) fn over(data_type: DataType, shape: &Shape, bytes: &'m [u8]) -> Result<Self, ort::Error> {
        // The library takes a pointer to mutable memory for inputs too, and does not write through it.
        Self::over_memory(data_type, shape, Memory::of_host(bytes.as_ptr().cast_mut(), bytes.len())?)
    }

    /// A tensor of fixed-size elements that the library writes to `bytes`.
    ///
    /// # Errors
    /// Whatever the library objects to, for example too few bytes for the shape.
    pub(crate) fn over_mut(data_type: DataType, shape: &Shape, bytes: &'m mut [u8]) -> Result<Self, ort::Error> {
        Self::over_memory(data_type, shape, Memory::of_host(bytes.as_mut_ptr(), bytes.len())?)
    }

    /// A tensor of fixed-size elements in memory of a device, which the library reads.
    ///
    /// # Errors
    /// Whatever the library objects to, for example too few bytes for the shape, or a buffer of the host.
    pub(crate) fn over_device(
        (data_type, shape): (DataType, &Shape),
        buffer: &'m Buffer,
        memory_info: &MemoryInfo<'static>,
    ) -> Result<Self, ort::Error> {
        let span = buffer.device().ok_or_else(|| ort::Error::new("the tensor is not in memory of a device"))?;
        let place = Memory { info: memory_info.ptr(), address: span.address as usize, length_bytes: span.length_bytes };
        Self::over_memory(data_type, shape, place)
    }

    /// A tensor of fixed-size elements in memory of a device, which the library writes.
    ///
    /// # Errors
    /// Whatever the library objects to, for example too few bytes for the shape.
    pub(crate) fn over_allocation(
        (data_type, shape): (DataType, &Shape),
        allocation: &'m mut DeviceAllocation,
        memory_info: &MemoryInfo<'static>,
    ) -> Result<Self, ort::Error> {
        let (address, length_bytes) = (allocation.address() as usize, allocation.len());
        Self::over_memory(data_type, shape, Memory { info: memory_info.ptr(), address, length_bytes })
    }

    /// The caller has borrowed the memory for `'m`.
    fn over_memory(data_type: DataType, shape: &Shape, memory: Memory) -> Result<Self, ort::Error> {
        let dimensions = shape.to_signed();
        let mut value = ptr::null_mut();
        // SAFETY: the memory is borrowed for 'm, which the returned tensor does not outlive, and is of the kind that the
        // description says, which lives until the call returns, as the dimensions do; the library checks that the shape
        // needs no more than the bytes given.
        check(unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                memory.info,
                ptr::with_exposed_provenance_mut::<c_void>(memory.address),
                memory.length_bytes,
                dimensions.as_ptr(),
                dimensions.len(),
                element_type::to_runtime(data_type).into(),
                &mut value,
            )
        })?;
        Self::owning(value)
    }

    /// A tensor of strings, copied into the library.
    ///
    /// # Errors
    /// Out of memory in the library.
    pub(crate) fn strings(tensor: &Tensor, shape: &Shape) -> Result<Self, ort::Error> {
        let dimensions = shape.to_signed();
        let (mut allocator, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the default allocator belongs to the library and lives for ever; the dimensions live until the call
        // returns.
        check(unsafe { (ort::api().GetAllocatorWithDefaultOptions)(&mut allocator) })?;
        let element_type = element_type::to_runtime(DataType::Bytes).into();
        // SAFETY: as above.
        check(unsafe {
            let (dimensions, rank) = (dimensions.as_ptr(), dimensions.len());
            (ort::api().CreateTensorAsOrtValue)(allocator, dimensions, rank, element_type, &mut value)
        })?;
        let strings = Self::owning(value)?;
        for (index, element) in tensor.byte_strings().enumerate() {
            strings.set_string(index, element)?;
        }
        Ok(strings)
    }

    fn set_string(&self, index: usize, element: &[u8]) -> Result<(), ort::Error> {
        let mut target: *mut c_char = ptr::null_mut();
        // SAFETY: the value is a string tensor; the library checks the index and makes room for the length given.
        check(unsafe {
            let resize = ort::api().GetResizedStringTensorElementBuffer;
            resize(self.value.as_ptr(), index, element.len(), &mut target)
        })?;
        if !element.is_empty() {
            // SAFETY: the library has just made room for this many bytes at `target`, which nobody else sees.
            unsafe { ptr::copy_nonoverlapping(element.as_ptr(), target.cast::<u8>(), element.len()) };
        }
        Ok(())
    }

    /// Takes over a value that a call of the library has just made.
    pub(crate) fn owning(value: *mut sys::OrtValue) -> Result<Self, ort::Error> {
        let value = NonNull::new(value).ok_or_else(|| ort::Error::new("the library returned no value"))?;
        Ok(Self { value, memory: PhantomData })
    }

    /// The value, for a call that does not keep it.
    pub(crate) fn as_ptr(&self) -> *mut sys::OrtValue {
        self.value.as_ptr()
    }

    /// Element type and shape; `None` for a type that the protocol lacks.
    ///
    /// # Errors
    /// The value is not a tensor.
    pub(crate) fn layout(&self) -> Result<(Option<DataType>, Shape), ort::Error> {
        let mut element_type = sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        let (mut dimensions, mut rank) = (ptr::null(), 0);
        // SAFETY: the value is alive; the library refuses one that is not a tensor.
        check(unsafe {
            let layout = ort::api().GetTensorElementTypeAndShapeDataReference;
            layout(self.value.as_ptr(), &mut element_type, &mut dimensions, &mut rank)
        })?;
        let dimensions: &[i64] = match rank {
            0 => &[],
            // SAFETY: the library points to this many dimensions inside the value, which is borrowed here.
            _ => unsafe { slice::from_raw_parts(dimensions, rank) },
        };
        let shape = Shape::from_signed(dimensions).map_err(|error| ort::Error::new(error.to_string()))?;
        Ok((element_type::from_file(element_type.into()), shape))
    }

    /// The strings in the wire encoding, copied.
    ///
    /// # Errors
    /// The value is not a tensor of strings.
    pub(crate) fn encoded_strings(&self, elements: usize) -> Result<Buffer, ort::Error> {
        let mut content_bytes = 0;
        // SAFETY: the value is alive; the library refuses one that does not hold strings.
        check(unsafe { (ort::api().GetStringTensorDataLength)(self.value.as_ptr(), &mut content_bytes) })?;
        let mut content = vec![0_u8; content_bytes];
        let mut offsets = vec![0_usize; elements];
        // SAFETY: both vectors are as long as is said; the library refuses lengths that do not fit the value.
        check(unsafe {
            let (content, offsets) = (content.as_mut_ptr().cast::<c_void>(), offsets.as_mut_ptr());
            (ort::api().GetStringTensorContent)(self.value.as_ptr(), content, content_bytes, offsets, elements)
        })?;
        let ends = offsets.iter().skip(1).copied().chain([content_bytes]);
        let parts = offsets.iter().zip(ends).map(|(start, end)| content.get(*start..end).unwrap_or_default());
        Ok(nereid_tensor::encode_bytes_elements(&parts.collect::<Vec<_>>()).into())
    }
}

impl RuntimeTensor<'static> {
    /// The elements of a tensor in the library's own memory, without a copy; the buffer keeps tensor and session alive.
    ///
    /// # Errors
    /// The value is not a tensor of fixed-size elements.
    pub(crate) fn into_buffer(self, length_bytes: usize, session: Arc<Session>) -> Result<Buffer, ort::Error> {
        let mut data: *mut c_void = ptr::null_mut();
        // SAFETY: the value is alive; the library refuses one that is not a tensor.
        check(unsafe { (ort::api().GetTensorMutableData)(self.value.as_ptr(), &mut data) })?;
        if length_bytes == 0 || data.is_null() {
            return Ok(Buffer::default());
        }
        let data = data.cast_const().cast::<u8>();
        Ok(Bytes::from_owner(RuntimeMemory { data, length_bytes, _tensor: self, _session: session }).into())
    }
}

impl RuntimeTensor<'static> {
    /// The elements of a tensor in the library's own memory of a device, without a copy; the buffer keeps tensor and
    /// session alive. One that the library put on the host after all is a buffer of the host.
    ///
    /// # Errors
    /// The value is not a tensor of fixed-size elements.
    pub(crate) fn into_device_buffer(
        self,
        length_bytes: usize,
        (session, gpu): (Arc<Session>, Arc<Gpu>),
    ) -> Result<Buffer, ort::Error> {
        let (mut data, mut place, mut kind): (*mut c_void, _, _) =
            (ptr::null_mut(), ptr::null(), sys::OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU);
        // SAFETY: the value is alive; the library refuses one that is not a tensor.
        check(unsafe { (ort::api().GetTensorMutableData)(self.value.as_ptr(), &mut data) })?;
        // SAFETY: the value is alive; what is written points into it.
        check(unsafe { (ort::api().GetTensorMemoryInfo)(self.value.as_ptr(), &mut place) })?;
        // SAFETY: the description is the value's, which is alive.
        unsafe { (ort::api().MemoryInfoGetDeviceType)(place, &mut kind) };
        if kind == sys::OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU {
            return self.into_buffer(length_bytes, session);
        }
        if length_bytes == 0 || data.is_null() {
            return Ok(Buffer::default());
        }
        let owner = RuntimeOwner { _tensor: self, _session: session };
        Ok(Buffer::of_device(Arc::new(OwnedMemory::new(gpu, (data.addr() as u64, length_bytes), owner))))
    }
}

impl Drop for RuntimeTensor<'_> {
    fn drop(&mut self) {
        // SAFETY: the value came from the library, is owned here alone and released here alone.
        unsafe { (ort::api().ReleaseValue)(self.value.as_ptr()) };
    }
}

// === impl Memory ===

impl Memory {
    fn of_host(data: *mut u8, length_bytes: usize) -> Result<Self, ort::Error> {
        Ok(Self { info: host_memory_info()?, address: data.expose_provenance(), length_bytes })
    }
}

// === impl RuntimeMemory ===

impl AsRef<[u8]> for RuntimeMemory {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `into_buffer` found this many bytes at the data pointer of the tensor held beside it (its length is
        // that of the tensor's type and shape), and nobody writes to the tensor of a finished run.
        unsafe { slice::from_raw_parts(self.data, self.length_bytes) }
    }
}

// === impl HostMemory ===

/// The description of plain host memory.
pub(crate) fn host_memory_info() -> Result<*const sys::OrtMemoryInfo, ort::Error> {
    Ok(host_memory()?.0.as_ptr())
}

/// Made once and kept for ever.
fn host_memory() -> Result<&'static HostMemory, ort::Error> {
    static HOST_MEMORY: OnceLock<HostMemory> = OnceLock::new();
    if let Some(host_memory) = HOST_MEMORY.get() {
        return Ok(host_memory);
    }
    let mut info = ptr::null_mut();
    let (allocator, place) = (sys::OrtAllocatorType::OrtDeviceAllocator, sys::OrtMemType::OrtMemTypeDefault);
    // SAFETY: the call writes one pointer.
    check(unsafe { (ort::api().CreateCpuMemoryInfo)(allocator, place, &mut info) })?;
    let info = NonNull::new(info).ok_or_else(|| ort::Error::new("the library returned no memory description"))?;
    Ok(HOST_MEMORY.get_or_init(|| HostMemory(info)))
}
