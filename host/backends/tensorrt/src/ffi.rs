//! TensorRT through the shim: libraries, engines and contexts as values that are freed once.
//!
//! Promises: nothing of TensorRT is called without the device's context current on the calling thread, but opening the
//! library and asking its version, which need none.
#![allow(unsafe_code)] // The C interface of the shim; every block says what it relies on.

mod context;
mod functions;

use std::{
    ffi::{CStr, CString, c_char},
    path::Path,
    ptr::{self, NonNull},
    sync::Arc,
};

use nereid_gpu::Gpu;
use nereid_tensor::DataType;

pub(crate) use self::context::{Context, InputView};
use self::functions::{Functions, RANK_MAX, RawEngine, RawLibrary, RawShape, RawTensor};
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

// SAFETY: the functions are code, and the library object is only read after it is made.
unsafe impl Send for TensorRt {}
// SAFETY: as above.
unsafe impl Sync for TensorRt {}
// SAFETY: engines may be used by any thread that has their device's context, and by several at a time (TensorRT's rule).
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

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
