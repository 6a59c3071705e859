//! TensorRT through the shim: libraries, engines and contexts as values that are freed once.
//!
//! Promises: nothing of TensorRT is called without the device's context current on the calling thread, but opening the
//! library and asking its version, which need none. An execution is over when it returns, also when it fails.
#![allow(unsafe_code)] // The C interface of the shim; every block says what it relies on.

mod functions;

use std::{
    ffi::{CStr, CString, c_char},
    path::Path,
    ptr::{self, NonNull},
    sync::Arc,
};

use nereid_gpu::{DeviceAllocation, Gpu, GpuStream};
use nereid_tensor::{Buffer, DataType};

use self::functions::{Functions, RANK_MAX, RawContext, RawEngine, RawLibrary, RawShape, RawTensor};
use crate::{
    plan_file::Version,
    profiles::{Bounds, Extents, Profile},
    tensors::{Declared, EngineTensor},
};

/// The shim and the TensorRT that it loaded.
pub(crate) struct TensorRt {
    functions: Functions,
    library: NonNull<RawLibrary>,
}

/// An engine in the memory of a device.
pub(crate) struct Engine {
    tensorrt: &'static TensorRt,
    gpu: Arc<Gpu>,
    raw: NonNull<RawEngine>,
}

/// What executions of one profile are done with, one at a time.
pub(crate) struct Context {
    engine: Arc<Engine>,
    raw: NonNull<RawContext>,
}

/// An input of one execution: its bytes are in memory of the engine's device.
pub(crate) struct InputView<'a> {
    pub(crate) name: &'a CStr,
    pub(crate) shape: &'a [i64],
    pub(crate) buffer: &'a Buffer,
}

// SAFETY: the functions are code, and the library object is only read after it is made.
unsafe impl Send for TensorRt {}
// SAFETY: as above.
unsafe impl Sync for TensorRt {}
// SAFETY: engines may be used by any thread that has their device's context, and by several at a time (TensorRT's rule).
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}
// SAFETY: a context may be used by any thread that has the device's context, one at a time: it has one owner.
unsafe impl Send for Context {}

// === impl TensorRt ===

impl TensorRt {
    /// The shim at `path`, with the first TensorRT that loads: what `runtimes` names for the major version of the headers.
    ///
    /// # Errors
    /// The shim is none, or every library tried with what was wrong.
    pub(crate) fn load(path: &Path, runtimes: impl FnOnce(u32) -> Vec<CString>) -> Result<Self, String> {
        let functions = Functions::load(path)?;
        // SAFETY: the function takes nothing and asks nothing.
        let headers = Version::of_number(unsafe { (functions.headers)() });
        let mut tried = Vec::new();
        for name in runtimes(headers.0) {
            let mut error = ptr::null_mut();
            // SAFETY: the name ends with a zero byte; `error` is ours to write to.
            let library = unsafe { (functions.open)(name.as_ptr(), &mut error) };
            match NonNull::new(library) {
                Some(library) => return Ok(Self { functions, library }),
                None => tried.push(format!("{} ({})", name.to_string_lossy(), functions.take(error))),
            }
        }
        Err(format!("it found no TensorRT {}; tried: {}", headers.0, tried.join("; ")))
    }

    /// Of the library.
    pub(crate) fn version(&self) -> Version {
        // SAFETY: the library is never freed.
        Version::of_number(unsafe { (self.functions.version)(self.library.as_ptr()) })
    }
}

// === impl Functions ===

impl Functions {
    /// The text behind an error, freed.
    fn take(&self, error: *mut c_char) -> String {
        if error.is_null() {
            return "it does not say why".to_owned();
        }
        // SAFETY: not null, so it is a text of the shim's that ends with a zero byte and is ours until we give it back.
        let text = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
        // SAFETY: it came from the shim and is given back once.
        unsafe { (self.free_text)(error) };
        text
    }
}

// === impl Engine ===

impl Engine {
    /// The engine of a plan on this device. `allows_code` lets the plan bring code that is executed here.
    ///
    /// # Errors
    /// TensorRT's words.
    pub(crate) fn deserialise(
        tensorrt: &'static TensorRt,
        gpu: &Arc<Gpu>,
        (plan, allows_code): (&[u8], bool),
    ) -> Result<Self, String> {
        bind(gpu)?;
        let mut error = ptr::null_mut();
        // SAFETY: there is a driver and the device's context is current; the plan lives until the call returns, which
        // keeps none of it.
        let raw = unsafe {
            let (library, allows_code) = (tensorrt.library.as_ptr(), i32::from(allows_code));
            (tensorrt.functions.deserialise)(library, plan.as_ptr().cast(), plan.len(), allows_code, &mut error)
        };
        let raw = NonNull::new(raw).ok_or_else(|| tensorrt.functions.take(error))?;
        Ok(Self { tensorrt, gpu: Arc::clone(gpu), raw })
    }

    /// The device.
    pub(crate) fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Its tensors and profiles.
    ///
    /// # Errors
    /// The device's context is lost.
    pub(crate) fn declared(&self) -> Result<Declared, String> {
        bind(&self.gpu)?;
        let functions = &self.tensorrt.functions;
        // SAFETY: the engine lives as long as `self`; so of the calls below.
        let (tensors, profiles) =
            unsafe { ((functions.tensor_count)(self.raw.as_ptr()), (functions.profile_count)(self.raw.as_ptr())) };
        let mut declared = Declared::default();
        for (tensor, is_input) in (0..tensors).filter_map(|index| self.tensor(index)) {
            let side = if is_input { &mut declared.inputs } else { &mut declared.outputs };
            side.push(tensor);
        }
        let profile = |index| Profile {
            index,
            bounds: declared.inputs.iter().map(|input| self.bounds(input.index, index)).collect(),
        };
        declared.profiles = (0..profiles).map(profile).collect();
        Ok(declared)
    }

    /// Memory of the device that a context of this profile uses.
    pub(crate) fn context_bytes(&self, profile: usize) -> u64 {
        // SAFETY: the engine lives as long as `self`, and the call only reads it.
        unsafe { (self.tensorrt.functions.context_bytes)(self.raw.as_ptr(), profile) }
    }

    fn tensor(&self, index: usize) -> Option<(EngineTensor, bool)> {
        let mut tensor = RawTensor::default();
        // SAFETY: the engine lives as long as `self`; the shim answers null for an index that there is not.
        let name = NonNull::new(unsafe { (self.tensorrt.functions.tensor_name)(self.raw.as_ptr(), index) }.cast_mut())?;
        // SAFETY: a name of the engine's, which ends with a zero byte.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_owned();
        // SAFETY: the engine lives as long as `self`; `tensor` is ours to write to.
        unsafe { (self.tensorrt.functions.describe)(self.raw.as_ptr(), index, &mut tensor) };
        let described = EngineTensor {
            name,
            index,
            data_type: data_type(tensor.data_type),
            dims: tensor.shape.extents(),
            is_shape: tensor.is_shape != 0,
            is_linear: tensor.is_linear != 0,
        };
        Some((described, tensor.is_input != 0))
    }

    fn bounds(&self, index: usize, profile: usize) -> Bounds {
        let mut shapes = [RawShape::default(); 3];
        // SAFETY: the engine lives as long as `self`; the shim writes three shapes.
        unsafe { (self.tensorrt.functions.profile)(self.raw.as_ptr(), index, profile, shapes.as_mut_ptr()) };
        let [smallest, best, largest] = shapes.map(RawShape::extents);
        Bounds { smallest, best, largest }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if bind(&self.gpu).is_ok() {
            // SAFETY: the engine came from the shim, and contexts hold it: this is its end.
            unsafe { (self.tensorrt.functions.free_engine)(self.raw.as_ptr()) };
        }
    }
}

// === impl Context ===

impl Context {
    /// A context of the engine's profile.
    ///
    /// # Errors
    /// TensorRT's words, mostly that the device has no memory for it.
    pub(crate) fn new(engine: &Arc<Engine>, profile: usize, stream: &GpuStream) -> Result<Self, String> {
        bind(&engine.gpu)?;
        let mut error = ptr::null_mut();
        // SAFETY: the device's context is current; the engine is held by what is returned; the stream is the device's.
        let raw = unsafe {
            let make = engine.tensorrt.functions.context;
            make(engine.raw.as_ptr(), profile, stream.cuda().cu_stream().cast(), &mut error)
        };
        let raw = NonNull::new(raw).ok_or_else(|| engine.tensorrt.functions.take(error))?;
        let context = Self { engine: Arc::clone(engine), raw };
        stream.synchronise().map_err(|error| error.to_string())?;
        Ok(context)
    }

    /// Executes; the outputs are in the order of their names, in memory that `allocate` gives for their bytes.
    ///
    /// # Errors
    /// TensorRT's words, an output whose shape only the execution tells, or the device's.
    pub(crate) fn run(
        &mut self,
        stream: &GpuStream,
        inputs: &[InputView<'_>],
        (outputs, mut allocate): (&[&CStr], impl FnMut(usize, &[i64]) -> Result<DeviceAllocation, String>),
    ) -> Result<Vec<(Extents, DeviceAllocation)>, String> {
        bind(&self.engine.gpu)?;
        inputs.iter().try_for_each(|input| self.set_input(input))?;
        let mut written = Vec::with_capacity(outputs.len());
        for (place, name) in outputs.iter().enumerate() {
            let shape = self.output_shape(name)?;
            let allocation = allocate(place, &shape)?;
            self.set_output(name, &allocation)?;
            written.push((shape, allocation));
        }
        let mut error = ptr::null_mut();
        // SAFETY: the device's context is current, and so are the addresses: inputs are borrowed and outputs are held here
        // until the stream is synchronised below, whatever the call says.
        let started = unsafe {
            let enqueue = self.engine.tensorrt.functions.enqueue;
            enqueue(self.raw.as_ptr(), stream.cuda().cu_stream().cast(), &mut error)
        };
        let finished = stream.synchronise().map_err(|error| error.to_string());
        if started == 0 {
            return Err(self.engine.tensorrt.functions.take(error));
        }
        finished.map(|()| written)
    }

    fn set_input(&self, input: &InputView<'_>) -> Result<(), String> {
        let name = input.name.to_string_lossy();
        let span = input.buffer.device().ok_or_else(|| format!("input '{name}' is not in memory of a device"))?;
        let shape = RawShape::of(input.shape).ok_or_else(|| format!("input '{name}' has too many dimensions"))?;
        let mut error = ptr::null_mut();
        // SAFETY: the context lives as long as `self`; name and shape until the call returns. The address is used by
        // `run` alone, which borrows the buffer.
        let done = unsafe {
            let set_input = self.engine.tensorrt.functions.set_input;
            set_input(self.raw.as_ptr(), input.name.as_ptr(), &shape, span.address, &mut error)
        };
        if done == 0 { Err(self.engine.tensorrt.functions.take(error)) } else { Ok(()) }
    }

    fn output_shape(&self, name: &CStr) -> Result<Extents, String> {
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

    fn set_output(&self, name: &CStr, allocation: &DeviceAllocation) -> Result<(), String> {
        let mut error = ptr::null_mut();
        // SAFETY: the context lives as long as `self`; the name until the call returns. The address is used by `run` alone,
        // which holds the allocation.
        let done = unsafe {
            let set_output = self.engine.tensorrt.functions.set_output;
            set_output(self.raw.as_ptr(), name.as_ptr(), allocation.address(), &mut error)
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

// === impl RawShape ===

impl RawShape {
    fn of(extents: &[i64]) -> Option<Self> {
        let mut shape = Self { rank: i32::try_from(extents.len()).ok()?, extents: [0; RANK_MAX] };
        shape.extents.get_mut(..extents.len())?.copy_from_slice(extents);
        Some(shape)
    }

    fn extents(self) -> Extents {
        let rank = usize::try_from(self.rank).unwrap_or_default();
        self.extents.get(..rank).unwrap_or_default().to_vec()
    }
}

/// Makes the device's primary context the calling thread's, which TensorRT takes for granted.
fn bind(gpu: &Gpu) -> Result<(), String> {
    gpu.context().bind_to_thread().map_err(|error| format!("GPU {}: its context is lost: {error:?}", gpu.ordinal()))
}

/// By the numbers of the shim; `None` for what the protocol lacks.
fn data_type(number: u32) -> Option<DataType> {
    let types = [
        DataType::Fp32,
        DataType::Fp16,
        DataType::Int8,
        DataType::Int32,
        DataType::Bool,
        DataType::Uint8,
        DataType::Bf16,
        DataType::Int64,
    ];
    types.get(usize::try_from(number).ok()?).copied()
}
