//! Outputs on their way over the line: tensors of LibTorch's as memory of ours, on the host or on a device.

use std::{ffi::CStr, ptr::NonNull, slice, sync::Arc};

use bytes::Bytes;
use nereid_gpu::{Gpu, OwnedMemory};
use nereid_tensor::{Buffer, DataType, Shape};

use crate::element_type;

use super::{Torch, raw};

/// One output.
pub(crate) struct Output {
    /// The key in a dictionary.
    pub(crate) key: Option<String>,
    /// `None` for what the protocol lacks.
    pub(crate) data_type: Option<DataType>,
    pub(crate) shape: Vec<i64>,
    pub(crate) buffer: Buffer,
}

/// Frees what is left of a result.
pub(super) struct OutputList(NonNull<raw::RawResult>, &'static Torch);

/// A tensor of LibTorch's; freed with the last view of it.
struct OwnedTensor(NonNull<raw::RawTensor>, &'static Torch);

/// One in memory of the host.
struct TensorMemory {
    _tensor: OwnedTensor,
    data: *const u8,
    length_bytes: usize,
}

// SAFETY: a tensor's count of references is atomic in LibTorch, and its memory is only read here.
unsafe impl Send for OwnedTensor {}
// SAFETY: as above.
unsafe impl Sync for OwnedTensor {}
// SAFETY: the address is read through alone, and what it points to lives as long as the tensor beside it.
unsafe impl Send for TensorMemory {}
// SAFETY: as above.
unsafe impl Sync for TensorMemory {}

// === impl OutputList ===

impl OutputList {
    pub(super) fn new(result: NonNull<raw::RawResult>, torch: &'static Torch) -> Self {
        Self(result, torch)
    }

    /// All of them; `gpu` is where the execution was.
    pub(super) fn take_all(self, gpu: Option<&Arc<Gpu>>) -> Vec<Output> {
        // SAFETY: the result is alive.
        let count = unsafe { (self.1.functions.output_count)(self.0.as_ptr()) };
        (0..count).filter_map(|index| self.take(index, gpu)).collect()
    }

    fn take(&self, index: usize, gpu: Option<&Arc<Gpu>>) -> Option<Output> {
        let (f, result) = (&self.1.functions, self.0.as_ptr());
        // SAFETY: the result is alive; an index without a key gives null.
        let key = NonNull::new(unsafe { (f.output_key)(result, index) }.cast_mut());
        // SAFETY: a key ends with a zero byte and lives as long as the result.
        let key = key.map(|key| unsafe { CStr::from_ptr(key.as_ptr()) }.to_string_lossy().into_owned());
        // SAFETY: the result is alive; each output is given out once, and null behind the last.
        let tensor = OwnedTensor(NonNull::new(unsafe { (f.take_output)(result, index) })?, self.1);
        let view = tensor.view();
        let shape = match view.rank {
            0 => vec![],
            // SAFETY: the shim points to this many dimensions inside the tensor, which is alive.
            rank => unsafe { slice::from_raw_parts(view.dimensions, rank) }.to_vec(),
        };
        let data_type = element_type::data_type(view.data_type);
        let length_bytes = data_type.and_then(|known| Shape::from_signed(&shape).ok()?.byte_size(known)).unwrap_or(0);
        Some(Output { key, data_type, shape, buffer: tensor.into_buffer(&view, length_bytes, gpu) })
    }
}

impl Drop for OutputList {
    fn drop(&mut self) {
        // SAFETY: the result came from the shim and is freed here alone.
        unsafe { (self.1.functions.free_result)(self.0.as_ptr()) };
    }
}

// === impl OwnedTensor ===

impl OwnedTensor {
    fn view(&self) -> raw::View {
        let mut view = raw::View::EMPTY;
        // SAFETY: the tensor is alive and `view` is ours to write to.
        unsafe { (self.1.functions.view)(self.0.as_ptr(), &raw mut view) };
        view
    }

    fn into_buffer(self, view: &raw::View, length_bytes: usize, gpu: Option<&Arc<Gpu>>) -> Buffer {
        if length_bytes == 0 || view.data.is_null() {
            return Buffer::default();
        }
        if view.device == raw::HOST {
            let data = view.data.cast::<u8>();
            return Bytes::from_owner(TensorMemory { _tensor: self, data, length_bytes }).into();
        }
        // The shim gives out tensors of no other device than the execution's.
        gpu.filter(|gpu| gpu.ordinal() == view.device).map_or_else(Buffer::default, |gpu| {
            let bytes = (view.data.addr() as u64, length_bytes);
            Buffer::of_device(Arc::new(OwnedMemory::new(Arc::clone(gpu), bytes, self)))
        })
    }
}

impl Drop for OwnedTensor {
    fn drop(&mut self) {
        // SAFETY: the tensor came from the shim and is freed here alone.
        unsafe { (self.1.functions.free_tensor)(self.0.as_ptr()) };
    }
}

// === impl TensorMemory ===

impl AsRef<[u8]> for TensorMemory {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the shim gives dense tensors, so that as many bytes lie at `data` as type and shape call for; they live as
        // long as the tensor held here, and whoever could write to them (a model that changes itself) had them copied.
        unsafe { slice::from_raw_parts(self.data, self.length_bytes) }
    }
}
