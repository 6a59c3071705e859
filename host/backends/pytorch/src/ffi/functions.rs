//! The functions of `shim/nereid_torch.h`, looked up once by their names.

use std::{
    ffi::{c_char, c_void},
    mem::ManuallyDrop,
    path::Path,
};

use libloading::Library;

use super::raw::{Input, RawModel, RawResult, RawStream, RawTensor, RunOptions, View};

/// The interface that this file describes; the shim says which it has.
const INTERFACE: i32 = 3;

// SAFETY: whoever calls a function of these types answers for what `shim/nereid_torch.h` says of its arguments.
type Free<T> = unsafe extern "C" fn(*mut T);
type Name = unsafe extern "C" fn() -> *const c_char;
type Number = unsafe extern "C" fn() -> i32;
type SetNumber = unsafe extern "C" fn(i32) -> i32;
type Ask<M, T> = unsafe extern "C" fn(*const M) -> T;
type AskAbout<M, T> = unsafe extern "C" fn(*const M, usize) -> T;
type Take = unsafe extern "C" fn(*mut RawResult, usize) -> *mut RawTensor;
type Look = unsafe extern "C" fn(*const RawTensor, *mut View);
type Error = *mut *mut c_char;
type Load = unsafe extern "C" fn(*const c_char, u32, i32, i32, Error) -> *mut RawModel;
type Run = unsafe extern "C" fn(
    *mut RawModel,
    *const RawStream,
    *const RunOptions,
    *const Input,
    usize,
    Error,
) -> *mut RawResult;
// SAFETY: as above.
type PackagePlace = unsafe extern "C" fn(*const c_char, Error) -> i32;
type LoadPackage = unsafe extern "C" fn(*const c_char, u32, i32, Error) -> *mut RawModel;
type LoadPart = unsafe extern "C" fn(Error) -> i32;
type NewStream = unsafe extern "C" fn(i32, Error) -> *mut RawStream;
type Synchronise = unsafe extern "C" fn(i32, Error) -> i32;

pub(super) struct Functions {
    pub(super) version: Name,
    pub(super) load_cuda: LoadPart,
    pub(super) new_stream: NewStream,
    pub(super) free_stream: Free<RawStream>,
    pub(super) synchronise: Synchronise,
    pub(super) free_text: Free<c_char>,
    pub(super) set_interop_threads: SetNumber,
    pub(super) load: Load,
    pub(super) package_place: PackagePlace,
    pub(super) load_package: LoadPackage,
    pub(super) free_model: Free<RawModel>,
    pub(super) argument: AskAbout<RawModel, *const c_char>,
    pub(super) argument_has_default: AskAbout<RawModel, i32>,
    pub(super) takes_dictionary: Ask<RawModel, i32>,
    pub(super) writes_inputs: Ask<RawModel, i32>,
    pub(super) writes_itself: Ask<RawModel, i32>,
    pub(super) weight_bytes: Ask<RawModel, u64>,
    pub(super) run: Run,
    pub(super) output_count: Ask<RawResult, usize>,
    pub(super) output_key: AskAbout<RawResult, *const c_char>,
    pub(super) take_output: Take,
    pub(super) free_result: Free<RawResult>,
    pub(super) view: Look,
    pub(super) free_tensor: Free<RawTensor>,
}

// === impl Functions ===

impl Functions {
    /// Loads the library at `path`, for ever: what it handed out may live as long as the process.
    ///
    /// # Errors
    /// The loader's words, or a library that is not this shim.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: loading runs the initialisers of the shim and of LibTorch, which are made to be loaded like this. Whose
        // library it is, is for the operator to say.
        let library = unsafe { Library::new(path) }.map_err(|error| format!("cannot be loaded: {}", cause(&error)))?;
        // Not unloaded either when it is the wrong one: LibTorch's threads may run already.
        let library = ManuallyDrop::new(library);
        // SAFETY: the shim has a function of this name and type in all its versions.
        let interface: Number = unsafe { get(&library, "nereid_torch_interface") }
            .map_err(|_| "not the shim that `cargo xtask backend pytorch` compiles".to_owned())?;
        // SAFETY: as above.
        match unsafe { interface() } {
            INTERFACE => Self::all_of(&library),
            other => Err(format!("the shim of another release: interface {other}, expected {INTERFACE}")),
        }
    }

    fn all_of(library: &Library) -> Result<Self, String> {
        // SAFETY: (of every line) a shim of this interface has these names with the types of `shim/nereid_torch.h`, which
        // the fields have too.
        unsafe {
            Ok(Self {
                version: get(library, "nereid_torch_version")?,
                load_cuda: get(library, "nereid_torch_load_cuda")?,
                new_stream: get(library, "nereid_torch_new_stream")?,
                free_stream: get(library, "nereid_torch_free_stream")?,
                synchronise: get(library, "nereid_torch_synchronise")?,
                free_text: get(library, "nereid_torch_free_text")?,
                set_interop_threads: get(library, "nereid_torch_set_interop_threads")?,
                load: get(library, "nereid_torch_load")?,
                package_place: get(library, "nereid_torch_package_place")?,
                load_package: get(library, "nereid_torch_load_package")?,
                free_model: get(library, "nereid_torch_free_model")?,
                argument: get(library, "nereid_torch_argument")?,
                argument_has_default: get(library, "nereid_torch_argument_has_default")?,
                takes_dictionary: get(library, "nereid_torch_takes_dictionary")?,
                writes_inputs: get(library, "nereid_torch_writes_inputs")?,
                writes_itself: get(library, "nereid_torch_writes_itself")?,
                weight_bytes: get(library, "nereid_torch_weight_bytes")?,
                run: get(library, "nereid_torch_run")?,
                output_count: get(library, "nereid_torch_output_count")?,
                output_key: get(library, "nereid_torch_output_key")?,
                take_output: get(library, "nereid_torch_take_output")?,
                free_result: get(library, "nereid_torch_free_result")?,
                view: get(library, "nereid_torch_view")?,
                free_tensor: get(library, "nereid_torch_free_tensor")?,
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
