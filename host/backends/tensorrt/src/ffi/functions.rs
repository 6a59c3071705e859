//! The functions of `shim/nereid_tensorrt.h`, looked up once by their names, and its structs, field by field.

use std::{
    ffi::{c_char, c_void},
    mem::ManuallyDrop,
    path::Path,
};

use libloading::Library;

/// The interface that this file describes; the shim says which it has.
const INTERFACE: i32 = 2;

/// TensorRT's own limit of dimensions.
pub(super) const RANK_MAX: usize = 8;

/// Types that are only pointed to.
pub(super) enum RawLibrary {}
pub(super) enum RawEngine {}
pub(super) enum RawContext {}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct RawShape {
    pub(super) rank: i32,
    pub(super) extents: [i64; RANK_MAX],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct RawTensor {
    pub(super) data_type: u32,
    pub(super) is_input: i32,
    pub(super) is_shape: i32,
    pub(super) is_linear: i32,
    pub(super) shape: RawShape,
}

// SAFETY: whoever calls a function of these types answers for what `shim/nereid_tensorrt.h` says of its arguments.
type Number = unsafe extern "C" fn() -> i32;
type Free<T> = unsafe extern "C" fn(*mut T);
type Error = *mut *mut c_char;
type Open = unsafe extern "C" fn(*const c_char, Error) -> *mut RawLibrary;
type Ask<T, R> = unsafe extern "C" fn(*const T) -> R;
type Deserialise = unsafe extern "C" fn(*const RawLibrary, *const c_void, usize, i32, Error) -> *mut RawEngine;
type Name = unsafe extern "C" fn(*const RawEngine, usize) -> *const c_char;
type Describe = unsafe extern "C" fn(*const RawEngine, usize, *mut RawTensor);
type Shapes = unsafe extern "C" fn(*const RawEngine, usize, usize, *mut RawShape) -> i32;
type Bytes = unsafe extern "C" fn(*const RawEngine, usize) -> u64;
// SAFETY: as above.
type MakeContext = unsafe extern "C" fn(*mut RawEngine, usize, *mut c_void, u64, u64, Error) -> *mut RawContext;
type SetInput = unsafe extern "C" fn(*mut RawContext, *const c_char, *const RawShape, u64, Error) -> i32;
type OutputShape = unsafe extern "C" fn(*const RawContext, *const c_char, *mut RawShape) -> i32;
type SetOutput = unsafe extern "C" fn(*mut RawContext, *const c_char, u64, Error) -> i32;
type Enqueue = unsafe extern "C" fn(*mut RawContext, *mut c_void, Error) -> i32;

pub(super) struct Functions {
    pub(super) headers: Number,
    pub(super) free_text: Free<c_char>,
    pub(super) open: Open,
    pub(super) version: Ask<RawLibrary, i32>,
    pub(super) deserialise: Deserialise,
    pub(super) free_engine: Free<RawEngine>,
    pub(super) tensor_count: Ask<RawEngine, usize>,
    pub(super) tensor_name: Name,
    pub(super) describe: Describe,
    pub(super) profile_count: Ask<RawEngine, usize>,
    pub(super) profile: Shapes,
    pub(super) context_bytes: Bytes,
    pub(super) context: MakeContext,
    pub(super) free_context: Free<RawContext>,
    pub(super) set_input: SetInput,
    pub(super) output_shape: OutputShape,
    pub(super) set_output: SetOutput,
    pub(super) enqueue: Enqueue,
}

// === impl Functions ===

impl Functions {
    /// Loads the shim at `path`, for ever: what it handed out may live as long as the process.
    ///
    /// # Errors
    /// The loader's words, or a library that is not this shim.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: the shim has no initialisers but those of C++. Whose library it is, is for the operator to say.
        let library = unsafe { Library::new(path) }.map_err(|error| format!("cannot be loaded: {}", cause(&error)))?;
        let library = ManuallyDrop::new(library);
        // SAFETY: the shim has a function of this name and type in all its versions.
        let interface: Number = unsafe { get(&library, "nereid_tensorrt_interface") }
            .map_err(|_| "not the shim that `cargo xtask backend tensorrt` compiles".to_owned())?;
        // SAFETY: as above.
        match unsafe { interface() } {
            INTERFACE => Self::all_of(&library),
            other => Err(format!("the shim of another release: interface {other}, expected {INTERFACE}")),
        }
    }

    fn all_of(library: &Library) -> Result<Self, String> {
        // SAFETY: (of every line) a shim of this interface has these names with the types of `shim/nereid_tensorrt.h`, which
        // the fields have too.
        unsafe {
            Ok(Self {
                headers: get(library, "nereid_tensorrt_headers")?,
                free_text: get(library, "nereid_tensorrt_free_text")?,
                open: get(library, "nereid_tensorrt_open")?,
                version: get(library, "nereid_tensorrt_version")?,
                deserialise: get(library, "nereid_tensorrt_deserialise")?,
                free_engine: get(library, "nereid_tensorrt_free_engine")?,
                tensor_count: get(library, "nereid_tensorrt_tensor_count")?,
                tensor_name: get(library, "nereid_tensorrt_tensor_name")?,
                describe: get(library, "nereid_tensorrt_describe")?,
                profile_count: get(library, "nereid_tensorrt_profile_count")?,
                profile: get(library, "nereid_tensorrt_profile")?,
                context_bytes: get(library, "nereid_tensorrt_context_bytes")?,
                context: get(library, "nereid_tensorrt_context")?,
                free_context: get(library, "nereid_tensorrt_free_context")?,
                set_input: get(library, "nereid_tensorrt_set_input")?,
                output_shape: get(library, "nereid_tensorrt_output_shape")?,
                set_output: get(library, "nereid_tensorrt_set_output")?,
                enqueue: get(library, "nereid_tensorrt_enqueue")?,
            })
        }
    }
}

/// The function called `name`.
///
/// # Safety
/// `T` must be the type of that function.
unsafe fn get<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    const { assert!(size_of::<T>() == size_of::<*const c_void>()) };
    // SAFETY: the caller says that the type is right; the library is never unloaded, so the copy stays good.
    let symbol = unsafe { library.get::<T>(name.as_bytes()) };
    symbol.map(|symbol| *symbol).map_err(|_| format!("it has no function '{name}'"))
}

/// The loader's own words, where it has some.
fn cause(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
