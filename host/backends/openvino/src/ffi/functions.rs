//! The functions of OpenVINO's C interface that are used, looked up once by their names.

use std::{
    ffi::{c_char, c_int, c_void},
    mem::ManuallyDrop,
    path::Path,
};

use libloading::Library;

/// What a function says of its success; 0 is success.
pub(super) type Status = c_int;

/// Types that are only pointed to.
pub(super) enum RawCore {}
pub(super) enum RawModel {}
pub(super) enum RawPort {}
pub(super) enum RawCompiled {}
pub(super) enum RawRequest {}
pub(super) enum RawTensor {}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Dimension {
    pub(super) min: i64,
    pub(super) max: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) rank: i64,
    pub(super) dims: *mut i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct PartialShape {
    pub(super) rank: Dimension,
    pub(super) dims: *mut Dimension,
}

#[repr(C)]
pub(super) struct Version {
    pub(super) build_number: *const c_char,
    pub(super) description: *const c_char,
}

// SAFETY: whoever calls a function of these types answers for what OpenVINO's headers say of its arguments.
type Free<T> = unsafe extern "C" fn(*mut T);
type Say = unsafe extern "C" fn() -> *const c_char;
type Make<T> = unsafe extern "C" fn(*mut T) -> Status;
type Of<S, T> = unsafe extern "C" fn(*const S, *mut T) -> Status;
type At<S, T> = unsafe extern "C" fn(*const S, usize, *mut T) -> Status;
type SetProperty = unsafe extern "C" fn(*const RawCore, *const c_char, *const c_char, *const c_char) -> Status;
type Read = unsafe extern "C" fn(*const RawCore, *const c_char, *const c_char, *mut *mut RawModel) -> Status;
type Compile =
    unsafe extern "C" fn(*const RawCore, *const RawModel, *const c_char, usize, *mut *mut RawCompiled, ...) -> Status;

// SAFETY: as above.
type Reshape = unsafe extern "C" fn(*const RawModel, *mut *const c_char, *const PartialShape, usize) -> Status;
type NewPartial = unsafe extern "C" fn(i64, *const Dimension, *mut PartialShape) -> Status;
type NewTensor = unsafe extern "C" fn(u32, Shape, *mut c_void, *mut *mut RawTensor) -> Status;
type SetInput = unsafe extern "C" fn(*mut RawRequest, usize, *const RawTensor) -> Status;
type Infer = unsafe extern "C" fn(*mut RawRequest) -> Status;
type FreeShape = unsafe extern "C" fn(*mut Shape) -> Status;
type FreeText = unsafe extern "C" fn(*const c_char);

pub(super) struct Functions {
    pub(super) last_error: Say,
    pub(super) version: Make<Version>,
    pub(super) free_version: Free<Version>,
    pub(super) free_text: FreeText,
    pub(super) new_core: Make<*mut RawCore>,
    pub(super) free_core: Free<RawCore>,
    pub(super) set_property: SetProperty,
    pub(super) read: Read,
    pub(super) free_model: Free<RawModel>,
    pub(super) input_count: Of<RawModel, usize>,
    pub(super) output_count: Of<RawModel, usize>,
    pub(super) input: At<RawModel, *mut RawPort>,
    pub(super) output: At<RawModel, *mut RawPort>,
    pub(super) free_port: Free<RawPort>,
    pub(super) port_name: Of<RawPort, *mut c_char>,
    pub(super) port_type: Of<RawPort, u32>,
    pub(super) port_shape: Of<RawPort, PartialShape>,
    pub(super) new_partial: NewPartial,
    pub(super) free_partial: Free<PartialShape>,
    pub(super) reshape: Reshape,
    pub(super) compile: Compile,
    pub(super) free_compiled: Free<RawCompiled>,
    pub(super) new_request: Of<RawCompiled, *mut RawRequest>,
    pub(super) free_request: Free<RawRequest>,
    pub(super) set_input: SetInput,
    pub(super) infer: Infer,
    pub(super) output_tensor: At<RawRequest, *mut RawTensor>,
    pub(super) new_tensor: NewTensor,
    pub(super) free_tensor: Free<RawTensor>,
    pub(super) tensor_data: Of<RawTensor, *mut c_void>,
    pub(super) tensor_bytes: Of<RawTensor, usize>,
    pub(super) tensor_shape: Of<RawTensor, Shape>,
    pub(super) free_shape: FreeShape,
}

// === impl Functions ===

impl Functions {
    /// Loads the library at `path`, for ever: what it handed out may live as long as the process.
    ///
    /// # Errors
    /// The loader's words, or a library without these functions.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: loading runs the initialisers of the library, which is made to be loaded like this. Whose library it is, is
        // for the operator to say.
        let library = unsafe { Library::new(path) }.map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            format!("cannot be loaded: {cause}")
        })?;
        let library = ManuallyDrop::new(library);
        // SAFETY: (of every line) OpenVINO has these names with the types of its headers, which the fields have too.
        unsafe {
            Ok(Self {
                last_error: get(&library, "ov_get_last_err_msg")?,
                version: get(&library, "ov_get_openvino_version")?,
                free_version: get(&library, "ov_version_free")?,
                free_text: get(&library, "ov_free")?,
                new_core: get(&library, "ov_core_create")?,
                free_core: get(&library, "ov_core_free")?,
                set_property: get(&library, "ov_core_set_property")?,
                read: get(&library, "ov_core_read_model")?,
                free_model: get(&library, "ov_model_free")?,
                input_count: get(&library, "ov_model_inputs_size")?,
                output_count: get(&library, "ov_model_outputs_size")?,
                input: get(&library, "ov_model_const_input_by_index")?,
                output: get(&library, "ov_model_const_output_by_index")?,
                free_port: get(&library, "ov_output_const_port_free")?,
                port_name: get(&library, "ov_port_get_any_name")?,
                port_type: get(&library, "ov_port_get_element_type")?,
                port_shape: get(&library, "ov_port_get_partial_shape")?,
                new_partial: get(&library, "ov_partial_shape_create")?,
                free_partial: get(&library, "ov_partial_shape_free")?,
                reshape: get(&library, "ov_model_reshape")?,
                compile: get(&library, "ov_core_compile_model")?,
                free_compiled: get(&library, "ov_compiled_model_free")?,
                new_request: get(&library, "ov_compiled_model_create_infer_request")?,
                free_request: get(&library, "ov_infer_request_free")?,
                set_input: get(&library, "ov_infer_request_set_input_tensor_by_index")?,
                infer: get(&library, "ov_infer_request_infer")?,
                output_tensor: get(&library, "ov_infer_request_get_output_tensor_by_index")?,
                new_tensor: get(&library, "ov_tensor_create_from_host_ptr")?,
                free_tensor: get(&library, "ov_tensor_free")?,
                tensor_data: get(&library, "ov_tensor_data")?,
                tensor_bytes: get(&library, "ov_tensor_get_byte_size")?,
                tensor_shape: get(&library, "ov_tensor_get_shape")?,
                free_shape: get(&library, "ov_shape_free")?,
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
    symbol.map(|symbol| *symbol).map_err(|_| format!("not an OpenVINO library: it has no function '{name}'"))
}
