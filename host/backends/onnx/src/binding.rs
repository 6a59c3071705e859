//! One call of the library's `RunWithBinding`, for outputs that it is to allocate on a device.
//!
//! `Run` brings what it allocates to the host. The binding is made for the one run: its cost is small beside work on a
//! device, and it could not be shared by threads.
#![allow(unsafe_code)] // The C interface of ONNX Runtime; every block says what it relies on.

use std::{
    ffi::CStr,
    ptr::{self, NonNull},
    slice,
};

use ort::{
    AsPointer as _,
    memory::MemoryInfo,
    session::{RunOptions, Session},
    sys,
};

use crate::{
    run::OutputSlot,
    value::{RuntimeTensor, check, host_memory_info},
};

/// Freed with this.
struct Binding(NonNull<sys::OrtIoBinding>);

/// Runs the session; on success every slot holds a tensor of one kind or the other, and those of the library's that are
/// wanted on the device are in the memory that `device` describes.
///
/// # Errors
/// The library's own; the slots are as they were.
pub(crate) fn run_bound(
    (session, run_options): (&Session, Option<&RunOptions>),
    inputs: &[(&CStr, RuntimeTensor<'_>)],
    (outputs, device): (&mut [OutputSlot<'_, '_>], &MemoryInfo<'static>),
) -> Result<(), ort::Error> {
    let binding = Binding::new(session)?;
    for (name, tensor) in inputs {
        // SAFETY: binding, name and tensor live until the run below is over; the binding keeps what it needs of them.
        check(unsafe { (ort::api().BindInput)(binding.as_ptr(), name.as_ptr(), tensor.as_ptr()) })?;
    }
    outputs.iter().try_for_each(|slot| binding.bind(slot, device))?;
    // SAFETY: session, options and binding live until the call returns, and this binding is used by nobody else.
    check(unsafe {
        let run_options = run_options.map_or(ptr::null(), |options| options.ptr());
        (ort::api().RunWithBinding)(session.ptr().cast_mut(), run_options, binding.as_ptr())
    })?;
    // SAFETY: as above.
    check(unsafe { (ort::api().SynchronizeBoundOutputs)(binding.as_ptr()) })?;
    let values = binding.values()?;
    if values.len() != outputs.len() {
        return Err(ort::Error::new("the library returned another number of outputs than were bound"));
    }
    for (slot, value) in outputs.iter_mut().zip(values) {
        if slot.ours.is_none() {
            slot.theirs = Some(value);
        }
    }
    Ok(())
}

// === impl Binding ===

impl Binding {
    fn new(session: &Session) -> Result<Self, ort::Error> {
        let mut binding = ptr::null_mut();
        // SAFETY: the call writes one pointer; the session outlives the binding, which `run_bound` drops before it returns.
        check(unsafe { (ort::api().CreateIoBinding)(session.ptr().cast_mut(), &mut binding) })?;
        NonNull::new(binding).map(Self).ok_or_else(|| ort::Error::new("the library returned no binding"))
    }

    fn as_ptr(&self) -> *mut sys::OrtIoBinding {
        self.0.as_ptr()
    }

    fn bind(&self, slot: &OutputSlot<'_, '_>, device: &MemoryInfo<'static>) -> Result<(), ort::Error> {
        let name = slot.name.as_ptr();
        if let Some(tensor) = &slot.ours {
            // SAFETY: binding, name and tensor live until the run is over.
            return check(unsafe { (ort::api().BindOutput)(self.as_ptr(), name, tensor.as_ptr()) });
        }
        let memory_info = if slot.on_device { device.ptr() } else { host_memory_info()? };
        // SAFETY: as above; the description is copied.
        check(unsafe { (ort::api().BindOutputToDevice)(self.as_ptr(), name, memory_info) })
    }

    /// The outputs, in the order in which they were bound.
    fn values(&self) -> Result<Vec<RuntimeTensor<'static>>, ort::Error> {
        let (mut allocator, mut values, mut count) = (ptr::null_mut(), ptr::null_mut(), 0);
        // SAFETY: the default allocator belongs to the library and lives for ever.
        check(unsafe { (ort::api().GetAllocatorWithDefaultOptions)(&mut allocator) })?;
        // SAFETY: the binding is alive; the call writes a pointer and a number.
        check(unsafe { (ort::api().GetBoundOutputValues)(self.as_ptr(), allocator, &mut values, &mut count) })?;
        if values.is_null() {
            return Ok(vec![]);
        }
        // SAFETY: the library has written so many values there, each of which is ours to release now.
        let taken = unsafe { slice::from_raw_parts(values, count) }.iter().map(|value| RuntimeTensor::owning(*value));
        let taken: Result<Vec<_>, _> = taken.collect();
        // SAFETY: the array itself came from this allocator, and nobody refers to it any more.
        check(unsafe { (ort::api().AllocatorFree)(allocator, values.cast()) })?;
        taken
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: it came from the library and is released here alone.
        unsafe { (ort::api().ReleaseIoBinding)(self.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use nereid_tensor::{DataType, Shape};
    use ort::memory::{AllocationDevice, AllocatorType, MemoryType};

    use super::*;
    use crate::model_file::tests::session;

    /// The mechanism, with the processor in the place of the device.
    #[test]
    fn outputs_are_allocated_where_they_are_bound() {
        let (session, x) = (session("dynamic_shapes"), [0.0_f32, 1.0, 2.0, 0.0, 0.0, 5.0]);
        let shape = Shape::from([2, 3]);
        let input = RuntimeTensor::over(DataType::Fp32, &shape, bytemuck::cast_slice(&x)).unwrap();
        let mut positions = [0_i64; 6];
        let (device, allocator) = (AllocationDevice::CPU, AllocatorType::Device);
        let place = MemoryInfo::new(device, 0, allocator, MemoryType::Default).unwrap();
        let transposed = {
            let memory = bytemuck::cast_slice_mut(&mut positions);
            let ours = RuntimeTensor::over_mut(DataType::Int64, &[2, 3].into(), memory).unwrap();
            let slot = |name, ours, on_device| OutputSlot { name, ours, theirs: None, on_device };
            let mut outputs = vec![slot(c"TRANSPOSED", None, true), slot(c"POSITIONS", Some(ours), false)];
            run_bound((&session, None), &[(c"X", input)], (&mut outputs, &place)).unwrap();
            assert!(outputs.pop().unwrap().theirs.is_none());
            outputs.pop().unwrap().theirs.unwrap()
        };
        assert_eq!(transposed.layout().unwrap(), (Some(DataType::Fp32), Shape::from([3, 2])));
        let bytes = transposed.into_buffer(24, session).unwrap();
        assert_eq!(bytemuck::cast_slice::<u8, f32>(bytes.as_slice()), [0.0, 0.0, 1.0, 0.0, 2.0, 5.0]);
        assert_eq!(positions, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_failing_run_leaves_the_slots_empty() {
        let (session, index) = (session("lookup"), [9_i64]);
        let input = RuntimeTensor::over(DataType::Int64, &[1, 1].into(), bytemuck::cast_slice(&index)).unwrap();
        let mut outputs = [OutputSlot { name: c"VALUE", ours: None, theirs: None, on_device: false }];
        let place = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default).unwrap();
        let error = run_bound((&session, None), &[(c"INDEX", input)], (&mut outputs, &place)).unwrap_err();
        assert!(error.message().contains("must be within the inclusive range"), "{error}");
        assert!(outputs[0].theirs.is_none());
    }
}
