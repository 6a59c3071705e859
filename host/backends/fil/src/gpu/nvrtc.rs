//! CUDA's run-time compiler, found with `dlopen` when the first forest goes to a GPU: from a kernel's source to the code of
//! one kind of device.
//!
//! It needs neither driver nor device. A search that fails is not remembered: once the library is installed the next load of
//! a model finds it. Costs: 110 MB of address space, and some hundred milliseconds per kind of device.
#![allow(unsafe_code)] // Calls of a C interface; every block says what it relies on.

use std::{
    env,
    error::Error,
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::Path,
    ptr,
};

use libloading::Library;
use nereid_backend::LibrarySearch;
use parking_lot::Mutex;

/// Names the library, before any folder is searched.
const LIBRARY_VARIABLE: &str = "NEREID_NVRTC_LIBRARY";

/// Where `cargo xtask backend nvrtc` puts it, below the directory that it is run in.
const SETUP_FOLDER: &str = ".nereid/nvrtc";

const FILE_NAME: &str = "libnvrtc.so.13";

/// Names that the loader may know; any of these versions compiles the kernel.
const LOADER_NAMES: [&str; 3] = [FILE_NAME, "libnvrtc.so.12", "libnvrtc.so"];

/// The opaque program of the C interface.
type RawProgram = *mut c_void;
/// `nvrtcResult`.
type Status = c_int;

static LOADED: Mutex<Option<&'static Nvrtc>> = Mutex::new(None);

/// The compiler, loaded and never unloaded.
pub(crate) struct Nvrtc {
    functions: Functions,
    version: (c_int, c_int),
}

struct Functions {
    version: VersionFunction,
    create: CreateFunction,
    compile: CompileFunction,
    log_size: SizeFunction,
    log: WriteFunction,
    code_size: SizeFunction,
    code: WriteFunction,
    destroy: DestroyFunction,
    error_text: TextFunction,
}

// SAFETY: the types of the functions in nvrtc.h, the same since CUDA 11.1; every call says what it relies on.
type VersionFunction = unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status;
type CreateFunction = unsafe extern "C" fn(
    *mut RawProgram,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Status;
// SAFETY: as above.
type CompileFunction = unsafe extern "C" fn(RawProgram, c_int, *const *const c_char) -> Status;
type SizeFunction = unsafe extern "C" fn(RawProgram, *mut usize) -> Status;
type WriteFunction = unsafe extern "C" fn(RawProgram, *mut c_char) -> Status;
type DestroyFunction = unsafe extern "C" fn(*mut RawProgram) -> Status;
type TextFunction = unsafe extern "C" fn(Status) -> *const c_char;

/// A program of the library, destroyed when it is dropped.
struct Program {
    nvrtc: &'static Nvrtc,
    raw: RawProgram,
}

/// Where the library is looked for.
pub(crate) fn search() -> LibrarySearch {
    LibrarySearch::discover(SETUP_FOLDER)
}

/// The process's compiler, loading it if this is the first call that finds it.
///
/// # Errors
/// Every place tried, with what was wrong there, and what to run.
pub(crate) fn nvrtc(search: &LibrarySearch) -> Result<&'static Nvrtc, String> {
    let mut loaded = LOADED.lock();
    if let Some(nvrtc) = *loaded {
        return Ok(nvrtc);
    }
    let nvrtc = find(search, env::var_os(LIBRARY_VARIABLE).is_some_and(|path| !path.is_empty()))?;
    tracing::info!("NVRTC {}.{} compiles kernels", nvrtc.version.0, nvrtc.version.1);
    Ok(*loaded.insert(nvrtc))
}

/// The loader is asked only where nobody, in the settings or in the environment, named a library.
fn find(search: &LibrarySearch, is_named: bool) -> Result<&'static Nvrtc, String> {
    let found = search.load(LIBRARY_VARIABLE, FILE_NAME, Nvrtc::load);
    let found = found.or_else(|tried| match is_named || search.library.is_some() {
        true => Err(tried),
        false => Nvrtc::load_by_name().map_err(|reason| format!("{tried}; {reason}")),
    });
    found.map_err(|tried| {
        format!(
            "the kernel of the fil backend is compiled by CUDA's library {FILE_NAME}, which could not be loaded; tried: \
             {tried}. Run `cargo xtask backend nvrtc`, or name it in {LIBRARY_VARIABLE} or --backend-config=fil,nvrtc=PATH"
        )
    })
}

// === impl Nvrtc ===

impl Nvrtc {
    fn load(path: &Path) -> Result<&'static Self, String> {
        load_builtins(path);
        // SAFETY: the operator or the setup named this file as NVRTC, whose initialisers expect nothing.
        let library = unsafe { Library::new(path) };
        Self::of(library.map_err(loader_words)?)
    }

    /// Whatever the loader finds under one of the usual names.
    fn load_by_name() -> Result<&'static Self, String> {
        // SAFETY: a library of one of these names is NVRTC, whose initialisers expect nothing.
        let library = LOADER_NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
        let library = library.ok_or_else(|| "no such library in the loader's path".to_owned())?;
        Self::of(library)
    }

    fn of(library: Library) -> Result<&'static Self, String> {
        let functions = Functions::of(&library)?;
        // Functions are called until the process ends, so the library stays.
        std::mem::forget(library);
        let mut version = (0, 0);
        // SAFETY: both numbers are written during the call.
        let status = unsafe { (functions.version)(&raw mut version.0, &raw mut version.1) };
        let nvrtc: &'static Self = Box::leak(Box::new(Self { functions, version }));
        nvrtc.said(status)?;
        Ok(nvrtc)
    }

    /// The code of `source`, called `name` in messages, with these options.
    ///
    /// # Errors
    /// What the compiler said.
    pub(crate) fn compile(&'static self, name: &str, source: &str, options: &[String]) -> Result<Vec<u8>, String> {
        let options: Vec<CString> = options.iter().map(|option| c_string(option)).collect::<Result<_, _>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|error| error.to_string())?;
        let program = Program::create(self, name, source)?;
        // SAFETY: the program is alive; so many strings are alive during the call.
        let status = unsafe { (self.functions.compile)(program.raw, count, pointers.as_ptr()) };
        self.said(status).map_err(|error| {
            let (major, minor) = self.version;
            format!("NVRTC {major}.{minor} does not compile {name}: {error}: {}", program.log())
        })?;
        program.code()
    }

    /// What a status means.
    fn said(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library answers every number with a text of its own, which is never freed.
        let text = unsafe { CStr::from_ptr((self.functions.error_text)(status)) };
        Err(text.to_string_lossy().into_owned())
    }
}

/// The compiler's own functions for devices lie beside it, and it asks the loader for them by their name alone: those that are
/// loaded already are found.
fn load_builtins(path: &Path) {
    let folder = path.parent().and_then(|folder| folder.read_dir().ok());
    let is_builtins = |name: &str| name.starts_with("libnvrtc-builtins.so");
    let files = folder.into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().to_str().is_some_and(is_builtins)) {
        // SAFETY: it lies beside NVRTC under its name; it has no initialisers that expect anything.
        if let Ok(library) = unsafe { Library::new(file.path()) } {
            std::mem::forget(library);
        }
    }
}

/// What the loader said, which stands behind the error's own text.
fn loader_words(error: libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

// === impl Functions ===

impl Functions {
    fn of(library: &Library) -> Result<Self, String> {
        /// The address of one function.
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the type is that of the function in nvrtc.h, the same since CUDA 11.1.
                unsafe { library.get($name) }
                    .map(|symbol| *symbol)
                    .map_err(|_| format!("it lacks the function {}", String::from_utf8_lossy($name)))?
            };
        }
        Ok(Self {
            version: function!(b"nvrtcVersion"),
            create: function!(b"nvrtcCreateProgram"),
            compile: function!(b"nvrtcCompileProgram"),
            log_size: function!(b"nvrtcGetProgramLogSize"),
            log: function!(b"nvrtcGetProgramLog"),
            code_size: function!(b"nvrtcGetCUBINSize"),
            code: function!(b"nvrtcGetCUBIN"),
            destroy: function!(b"nvrtcDestroyProgram"),
            error_text: function!(b"nvrtcGetErrorString"),
        })
    }
}

// === impl Program ===

impl Program {
    fn create(nvrtc: &'static Nvrtc, name: &str, source: &str) -> Result<Self, String> {
        let (name, source) = (c_string(name)?, c_string(source)?);
        let mut raw = ptr::null_mut();
        // SAFETY: both strings are alive during the call, which copies them; there are no headers.
        let status = unsafe {
            (nvrtc.functions.create)(&raw mut raw, source.as_ptr(), name.as_ptr(), 0, ptr::null(), ptr::null())
        };
        nvrtc.said(status)?;
        Ok(Self { nvrtc, raw })
    }

    /// What the compiler had to say, as far as it says it.
    fn log(&self) -> String {
        let Functions { log_size, log, .. } = self.nvrtc.functions;
        let text = self.bytes(log_size, log).unwrap_or_default();
        String::from_utf8_lossy(&text).trim_end_matches(['\0', '\n']).replace('\n', "; ")
    }

    fn code(&self) -> Result<Vec<u8>, String> {
        let Functions { code_size, code, .. } = self.nvrtc.functions;
        self.bytes(code_size, code)
    }

    /// What the second function writes, as many bytes as the first one says.
    fn bytes(&self, size: SizeFunction, write: WriteFunction) -> Result<Vec<u8>, String> {
        let mut length = 0;
        // SAFETY: the program is alive; the length is written during the call.
        self.nvrtc.said(unsafe { size(self.raw, &raw mut length) })?;
        let mut bytes = vec![0_u8; length];
        // SAFETY: so many bytes are written, as the library said itself.
        self.nvrtc.said(unsafe { write(self.raw, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program came from the library, and its one owner ends here.
        unsafe { (self.nvrtc.functions.destroy)(&raw mut self.raw) };
    }
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(library: &Path) -> String {
        find(&LibrarySearch { library: Some(library.into()), folders: vec![] }, false).err().unwrap()
    }

    #[test]
    fn a_compiler_that_is_not_there_is_told_with_what_to_run() {
        assert_eq!(
            refused(Path::new("/nowhere/libnvrtc.so.13")),
            "the kernel of the fil backend is compiled by CUDA's library libnvrtc.so.13, which could not be loaded; tried: \
             /nowhere/libnvrtc.so.13 (no such file). Run `cargo xtask backend nvrtc`, or name it in NEREID_NVRTC_LIBRARY or \
             --backend-config=fil,nvrtc=PATH"
        );
    }

    #[test]
    fn what_is_no_library_or_another_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join(FILE_NAME);
        std::fs::write(&text, "no library at all").unwrap();
        assert!(refused(&text).contains("file too short"), "{}", refused(&text));
        assert!(refused(folder.path()).contains("file too short"), "{}", refused(folder.path()));
        // The C library is one that every process has.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let other =
            maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("libc.so"));
        assert!(refused(Path::new(other.unwrap())).contains("it lacks the function nvrtcVersion"));
    }
}
