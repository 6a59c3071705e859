//! One call of the library's `Run`.
//!
//! The raw call and not `ort`'s `Session::run`: that wants the session for itself, while the C interface lets any
//! number of threads run one session, and it costs 1.5 µs less per call (measured, `benches/`).
#![allow(unsafe_code)] // The C interface of ONNX Runtime; every block says what it relies on.

use std::{ffi::CStr, ptr};

use ort::{
    AsPointer,
    session::{RunOptions, Session},
};

use crate::value::{RuntimeTensor, check};

/// An output on its way.
pub(crate) struct OutputSlot<'n, 'm> {
    pub(crate) name: &'n CStr,
    /// Where it is to be written; without it the library allocates.
    pub(crate) ours: Option<RuntimeTensor<'m>>,
    /// Whether the library is to allocate on the device; only [`crate::binding`] can say so to it.
    pub(crate) on_device: bool,
    /// What the library allocated.
    pub(crate) theirs: Option<RuntimeTensor<'static>>,
}

/// Runs the session; on success every slot holds a tensor of one kind or the other.
///
/// # Errors
/// The library's own; the slots are as they were.
pub(crate) fn run(
    (session, run_options): (&Session, Option<&RunOptions>),
    inputs: &[(&CStr, RuntimeTensor<'_>)],
    outputs: &mut [OutputSlot<'_, '_>],
) -> Result<(), ort::Error> {
    let input_names: Vec<_> = inputs.iter().map(|(name, _)| name.as_ptr()).collect();
    let input_values: Vec<_> = inputs.iter().map(|(_, tensor)| tensor.as_ptr().cast_const()).collect();
    let output_names: Vec<_> = outputs.iter().map(|slot| slot.name.as_ptr()).collect();
    let target = |slot: &OutputSlot<'_, '_>| slot.ours.as_ref().map_or(ptr::null_mut(), RuntimeTensor::as_ptr);
    let mut output_values: Vec<_> = outputs.iter().map(target).collect();
    // SAFETY: names and values live until the call returns and are as many as is said. `Run` may be called on one
    // session from several threads, and with one set of options, which it only reads. It reads the inputs, writes to the targets and to the null entries of the last
    // array, and keeps none of the pointers.
    check(unsafe {
        (ort::api().Run)(
            session.ptr().cast_mut(),
            run_options.map_or(ptr::null(), AsPointer::ptr),
            input_names.as_ptr(),
            input_values.as_ptr(),
            inputs.len(),
            output_names.as_ptr(),
            outputs.len(),
            output_values.as_mut_ptr(),
        )
    })?;
    for (slot, value) in outputs.iter_mut().zip(output_values) {
        if slot.ours.is_none() {
            slot.theirs = Some(RuntimeTensor::owning(value)?);
        }
    }
    Ok(())
}
