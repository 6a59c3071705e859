//! How much memory a session occupies, as ONNX Runtime itself counts it.
//!
//! The figure is that of the session's arena, on the processor or on its device: weights, and the scratch memory of executions under way. The graph's own
//! structures, and the buffers that this server lends for inputs and outputs, are not in it.
#![allow(unsafe_code)] // The C interface of ONNX Runtime; every block says what it relies on.

use std::{
    ffi::{CStr, c_char},
    ptr,
};

use ort::{
    AsPointer as _,
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::Session,
    sys,
};

use crate::{place::Place, value::check};

/// The statistic that counts what is handed out and what is reserved, in the library's words.
const STATISTIC: &CStr = c"InUse";

/// Statistics of an allocator; freed with this.
struct Statistics(*mut sys::OrtKeyValuePairs);

/// Bytes in use by the session at this place; `None` where the library does not count them.
pub(crate) fn bytes_in_use(session: &Session, place: Place) -> Option<u64> {
    let (device, device_id) = match place {
        Place::Cpu => (AllocationDevice::CPU, 0),
        Place::Gpu(device_id) => (AllocationDevice::CUDA, device_id),
    };
    let place = MemoryInfo::new(device, device_id, AllocatorType::Arena, MemoryType::Default).ok()?;
    let allocator = Allocator::new(session, place).ok()?;
    Statistics::read(&allocator).ok()?.number(STATISTIC)
}

// === impl Statistics ===

impl Statistics {
    fn read(allocator: &Allocator) -> Result<Self, ort::Error> {
        let mut pairs = ptr::null_mut();
        // SAFETY: the allocator lives as long as this borrow, and `pairs` is ours to write to.
        check(unsafe { (ort::api().AllocatorGetStats)(allocator.ptr(), &mut pairs) })?;
        Ok(Self(pairs))
    }

    fn number(&self, name: &CStr) -> Option<u64> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: the pairs are not null and live as long as `self`; the name ends with a zero byte.
        let value: *const c_char = unsafe { (ort::api().GetKeyValue)(self.0, name.as_ptr()) };
        if value.is_null() {
            return None;
        }
        // SAFETY: not null, so it is a string of the pairs, which end with a zero byte and live as long as `self`.
        unsafe { CStr::from_ptr(value) }.to_str().ok()?.parse().ok()
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // SAFETY: the pairs came from the library, which takes null too, and nobody else frees them.
        unsafe { (ort::api().ReleaseKeyValuePairs)(self.0) };
    }
}
