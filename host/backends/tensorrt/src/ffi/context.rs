//! Execution contexts: what an engine executes one profile with, one execution at a time.
//!
//! Contexts compute in memory that they are given and hold, which those of one stream share. Addresses of tensors are
//! numbers: whoever sets them keeps their memory until no execution and no recording uses it any more.

use std::{
    ffi::CStr,
    ptr::{self, NonNull},
    sync::Arc,
};

use nereid_gpu::{DeviceAllocation, GpuStream};

use super::{
    Engine, bind,
    functions::{RawContext, RawShape},
};
use crate::profiles::Extents;

/// What executions of one profile are done with, one at a time.
pub(crate) struct Context {
    engine: Arc<Engine>,
    raw: NonNull<RawContext>,
    /// What it computes in.
    _scratch: Arc<DeviceAllocation>,
}

/// An input of one execution.
pub(crate) struct InputView<'a> {
    pub(crate) name: &'a CStr,
    pub(crate) shape: &'a [i64],
    /// Of memory of the engine's device.
    pub(crate) address: u64,
}

// SAFETY: a context may be used by any thread that has the device's context, one at a time: it has one owner.
unsafe impl Send for Context {}

// === impl Context ===

impl Context {
    /// A context of the engine's profile, for executions on `stream`. It computes in `scratch`, with others of that stream.
    ///
    /// # Errors
    /// TensorRT's words.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        profile: usize,
        (stream, scratch): (&GpuStream, &Arc<DeviceAllocation>),
    ) -> Result<Self, String> {
        bind(&engine.gpu)?;
        let mut error = ptr::null_mut();
        let (memory, length) = (scratch.address(), scratch.len() as u64);
        // SAFETY: the device's context is current; engine and memory are held by what is returned; the stream is the
        // device's.
        let raw = unsafe {
            let make = engine.tensorrt.functions.context;
            make(engine.raw.as_ptr(), profile, stream.cuda().cu_stream().cast(), memory, length, &mut error)
        };
        let raw = NonNull::new(raw).ok_or_else(|| engine.tensorrt.functions.take(error))?;
        let context = Self { engine: Arc::clone(engine), raw, _scratch: Arc::clone(scratch) };
        stream.synchronise().map_err(|error| error.to_string())?;
        Ok(context)
    }

    /// Executes; the outputs are in the order of their names, in memory that `allocate` gives for their bytes. The execution
    /// is over on return, also when it fails.
    ///
    /// # Errors
    /// TensorRT's words, an output whose shape only the execution tells, or the device's.
    pub(crate) fn run(
        &mut self,
        stream: &GpuStream,
        inputs: &[InputView<'_>],
        (outputs, mut allocate): (&[&CStr], impl FnMut(usize, &[i64]) -> Result<DeviceAllocation, String>),
    ) -> Result<Vec<(Extents, DeviceAllocation)>, String> {
        self.set_inputs(inputs)?;
        let mut written = Vec::with_capacity(outputs.len());
        for (place, name) in outputs.iter().enumerate() {
            let shape = self.output_shape(name)?;
            let allocation = allocate(place, &shape)?;
            self.set_output(name, allocation.address())?;
            written.push((shape, allocation));
        }
        let started = self.enqueue(stream);
        let finished = stream.synchronise().map_err(|error| error.to_string());
        started.and(finished).map(|()| written)
    }

    /// Sets shapes and addresses of all inputs.
    ///
    /// # Errors
    /// TensorRT's words.
    pub(crate) fn set_inputs(&mut self, inputs: &[InputView<'_>]) -> Result<(), String> {
        bind(&self.engine.gpu)?;
        inputs.iter().try_for_each(|input| self.set_input(input))
    }

    /// The shape of an output, once the inputs are set.
    ///
    /// # Errors
    /// Only the execution tells it.
    pub(crate) fn output_shape(&self, name: &CStr) -> Result<Extents, String> {
        let mut shape = RawShape::default();
        // SAFETY: the context lives as long as `self`; the name until the call returns; `shape` is ours to write to.
        let known =
            unsafe { (self.engine.tensorrt.functions.output_shape)(self.raw.as_ptr(), name.as_ptr(), &mut shape) };
        let shape = shape.extents();
        match known != 0 && shape.iter().all(|extent| *extent >= 0) {
            true => Ok(shape),
            false => Err(format!(
                "output '{}' has a shape that only the execution tells, which is not served",
                name.to_string_lossy()
            )),
        }
    }

    /// Sets where an output is written.
    ///
    /// # Errors
    /// TensorRT's words.
    pub(crate) fn set_output(&mut self, name: &CStr, address: u64) -> Result<(), String> {
        let mut error = ptr::null_mut();
        // SAFETY: the context lives as long as `self`; the name until the call returns. The call follows no address.
        let done = unsafe {
            let set_output = self.engine.tensorrt.functions.set_output;
            set_output(self.raw.as_ptr(), name.as_ptr(), address, &mut error)
        };
        if done == 0 { Err(self.engine.tensorrt.functions.take(error)) } else { Ok(()) }
    }

    /// Tells the stream one execution, which is over when the stream is synchronised, also when this fails.
    ///
    /// # Errors
    /// TensorRT's words.
    pub(crate) fn enqueue(&mut self, stream: &GpuStream) -> Result<(), String> {
        bind(&self.engine.gpu)?;
        let mut error = ptr::null_mut();
        // SAFETY: the device's context is current, and the scratch memory is held. Memory of the tensors is kept by whoever
        // set their addresses; a device follows them, never this process.
        let started = unsafe {
            let enqueue = self.engine.tensorrt.functions.enqueue;
            enqueue(self.raw.as_ptr(), stream.cuda().cu_stream().cast(), &mut error)
        };
        if started == 0 { Err(self.engine.tensorrt.functions.take(error)) } else { Ok(()) }
    }

    fn set_input(&self, input: &InputView<'_>) -> Result<(), String> {
        let name = input.name.to_string_lossy();
        let shape = RawShape::of(input.shape).ok_or_else(|| format!("input '{name}' has too many dimensions"))?;
        let mut error = ptr::null_mut();
        // SAFETY: the context lives as long as `self`; name and shape until the call returns. The call follows no address.
        let done = unsafe {
            let set_input = self.engine.tensorrt.functions.set_input;
            set_input(self.raw.as_ptr(), input.name.as_ptr(), &shape, input.address, &mut error)
        };
        if done == 0 { Err(self.engine.tensorrt.functions.take(error)) } else { Ok(()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if bind(&self.engine.gpu).is_ok() {
            // SAFETY: the context came from the shim and is freed here alone; no execution is under way.
            unsafe { (self.engine.tensorrt.functions.free_context)(self.raw.as_ptr()) };
        }
    }
}
