//! OpenVINO's C interface, as far as it is used: the one place of this crate with `unsafe`.
//!
//! Not the `openvino` crate: it panics where a library lacks a function, keeps the names and ports that it asks for, takes no
//! memory of ours, and brings crates that all the rest would be compiled anew for. Promises: everything that OpenVINO gives
//! is freed once, and what an execution reads is memory of its own.
#![allow(unsafe_code)] // Calls of a C interface; every block says what it relies on.

mod functions;
mod request;

use std::{
    ffi::{CStr, CString, c_char},
    path::Path,
    ptr::{self, NonNull},
    slice,
    sync::Arc,
};

use self::functions::{Dimension, Functions, PartialShape, RawCompiled, RawCore, RawModel, RawPort, Status, Version};
pub(crate) use self::request::Request;
use crate::failure::sentence;

/// The one device that is served.
const CPU: &CStr = c"CPU";

/// Types of elements are numbered as now since this version, year and number.
const OLDEST: (u32, u32) = (2025, 1);

/// The library, loaded and never unloaded.
pub(crate) struct OpenVino {
    functions: Functions,
}

/// A file that was read. Properties that are set hold for it alone.
pub(crate) struct Graph {
    library: &'static OpenVino,
    model: ModelHandle,
    core: Core,
}

/// Frees a model.
struct ModelHandle(NonNull<RawModel>, &'static OpenVino);

/// What it was made with.
struct Core(NonNull<RawCore>, &'static OpenVino);

/// One input or output of a file.
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) element_type: u32,
    /// `None` where not even the number of dimensions is known; -1 is any extent.
    pub(crate) dims: Option<Vec<i64>>,
}

/// A compiled model.
pub(crate) struct Program {
    library: &'static OpenVino,
    compiled: NonNull<RawCompiled>,
    _core: Core,
}

/// Frees a port.
struct PortHandle(NonNull<RawPort>, &'static OpenVino);

// SAFETY: OpenVINO lets any thread use these objects; `Graph` is used by one at a time, since it is not shared.
unsafe impl Send for Graph {}
// SAFETY: as above; making requests of a compiled model from several threads is allowed.
unsafe impl Send for Program {}
// SAFETY: as above.
unsafe impl Sync for Program {}

// === impl OpenVino ===

impl OpenVino {
    /// Loads the library.
    ///
    /// # Errors
    /// It cannot be loaded, is something else, or is too old.
    pub(crate) fn load(path: &Path) -> Result<&'static Self, String> {
        let library: &'static Self = Box::leak(Box::new(Self { functions: Functions::load(path)? }));
        let version = library.version()?;
        let mut parts = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        let (year, number) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        match (year, number) >= OLDEST {
            true => Ok(library),
            false => Err(format!("version {version}, expected {}.{} or newer", OLDEST.0, OLDEST.1)),
        }
    }

    fn version(&self) -> Result<String, String> {
        let mut version = Version { build_number: ptr::null(), description: ptr::null() };
        // SAFETY: the version is ours to write to.
        self.check(unsafe { (self.functions.version)(&raw mut version) })?;
        // SAFETY: a text of the library's that ends with a zero byte, until the version is freed.
        let text = unsafe { text(version.build_number) };
        // SAFETY: the version came from the library and is freed once.
        unsafe { (self.functions.free_version)(&raw mut version) };
        Ok(text)
    }

    fn check(&self, status: Status) -> Result<(), String> {
        match status {
            0 => Ok(()),
            // SAFETY: the function takes nothing; its text, if any, ends with a zero byte and lives until the next failure of
            // this thread.
            status => Err(sentence(&unsafe { text((self.functions.last_error)()) }, status)),
        }
    }

    /// Reads a file or a folder.
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn read(&'static self, path: &Path) -> Result<Graph, String> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        let mut core = ptr::null_mut();
        // SAFETY: `core` is ours to write to.
        self.check(unsafe { (self.functions.new_core)(&raw mut core) })?;
        let core = Core(found(core)?, self);
        let mut model = ptr::null_mut();
        // SAFETY: the core is alive, the texts end with zero bytes, and `model` is ours to write to. An empty second text
        // stands for the file beside the first.
        self.check(unsafe { (self.functions.read)(core.0.as_ptr(), path.as_ptr(), c"".as_ptr(), &raw mut model) })?;
        Ok(Graph { library: self, model: ModelHandle(found(model)?, self), core })
    }
}

/// # Safety
/// Null, or a text that ends with a zero byte.
unsafe fn text(at: *const c_char) -> String {
    if at.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()
}

fn found<T>(at: *mut T) -> Result<NonNull<T>, String> {
    NonNull::new(at).ok_or_else(|| "the library gave nothing".to_owned())
}

// === impl Graph ===

impl Graph {
    /// The inputs.
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn inputs(&self) -> Result<Vec<Port>, String> {
        let f = &self.library.functions;
        self.ports(f.input_count, f.input)
    }

    /// The outputs.
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn outputs(&self) -> Result<Vec<Port>, String> {
        let f = &self.library.functions;
        self.ports(f.output_count, f.output)
    }

    // SAFETY: both are functions of the library's that take its models.
    fn ports(
        &self,
        count: unsafe extern "C" fn(*const RawModel, *mut usize) -> Status,
        at: unsafe extern "C" fn(*const RawModel, usize, *mut *mut RawPort) -> Status,
    ) -> Result<Vec<Port>, String> {
        let mut ports = 0;
        // SAFETY: the model is alive and `ports` is ours to write to.
        self.library.check(unsafe { count(self.model.0.as_ptr(), &raw mut ports) })?;
        let port = |index| {
            let mut port = ptr::null_mut();
            // SAFETY: as above; the library refuses an index behind the last.
            self.library.check(unsafe { at(self.model.0.as_ptr(), index, &raw mut port) })?;
            PortHandle(found(port)?, self.library).describe()
        };
        (0..ports).map(port).collect()
    }

    /// Gives inputs other dimensions; -1 is any extent.
    ///
    /// # Errors
    /// OpenVINO's words: the model does not allow it.
    pub(crate) fn reshape(&mut self, inputs: &[(CString, Vec<i64>)]) -> Result<(), String> {
        let f = &self.library.functions;
        let mut shapes: Vec<PartialShape> = Vec::new();
        let mut made = Ok(());
        for (_, dims) in inputs {
            let dims: Vec<Dimension> = dims.iter().map(|dim| Dimension { min: *dim, max: *dim }).collect();
            let mut shape = PartialShape { rank: Dimension { min: 0, max: 0 }, dims: ptr::null_mut() };
            let rank = i64::try_from(dims.len()).unwrap_or(0);
            // SAFETY: as many dimensions as said live until the call returns; `shape` is ours to write to.
            made = made.and(self.library.check(unsafe { (f.new_partial)(rank, dims.as_ptr(), &raw mut shape) }));
            shapes.push(shape);
        }
        let mut names: Vec<*const c_char> = inputs.iter().map(|(name, _)| name.as_ptr()).collect();
        let reshaped = made.and_then(|()| {
            let (names, shapes) = (names.as_mut_ptr(), shapes.as_ptr());
            // SAFETY: the model is alive; names and shapes are as many as said and live until the call returns.
            self.library.check(unsafe { (f.reshape)(self.model.0.as_ptr(), names, shapes, inputs.len()) })
        });
        for shape in &mut shapes {
            // SAFETY: the shape came from the library, or is empty; it is freed once.
            unsafe { (f.free_partial)(shape) };
        }
        reshaped
    }

    /// Sets a property of the processor's plugin; a wrong one may only be told by [`Graph::compile`].
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn set_property(&mut self, key: &str, value: &str) -> Result<(), String> {
        let [key, value] = [key, value].map(CString::new);
        let (key, value) = (key.map_err(|error| error.to_string())?, value.map_err(|error| error.to_string())?);
        // SAFETY: the core is alive and the texts end with zero bytes.
        let status = unsafe {
            (self.library.functions.set_property)(self.core.0.as_ptr(), CPU.as_ptr(), key.as_ptr(), value.as_ptr())
        };
        self.library.check(status)
    }

    /// Compiles for the processor.
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn compile(self) -> Result<Program, String> {
        let (library, mut compiled) = (self.library, ptr::null_mut());
        // SAFETY: core and model are alive, no properties follow, and `compiled` is ours to write to.
        library.check(unsafe {
            let (core, model) = (self.core.0.as_ptr(), self.model.0.as_ptr());
            (library.functions.compile)(core, model, CPU.as_ptr(), 0, &raw mut compiled)
        })?;
        Ok(Program { library, compiled: found(compiled)?, _core: self.core })
    }
}

impl Drop for ModelHandle {
    fn drop(&mut self) {
        // SAFETY: the model came from the library and is freed here alone.
        unsafe { (self.1.functions.free_model)(self.0.as_ptr()) };
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: the core came from the library and is freed here alone.
        unsafe { (self.1.functions.free_core)(self.0.as_ptr()) };
    }
}

// === impl PortHandle ===

impl PortHandle {
    fn describe(&self) -> Result<Port, String> {
        let (library, f, port) = (self.1, &self.1.functions, self.0.as_ptr());
        let (mut name, mut element_type) = (ptr::null_mut(), 0);
        // SAFETY: the port is alive and `name` is ours to write to.
        library.check(unsafe { (f.port_name)(port, &raw mut name) })?;
        // SAFETY: a text of the library's that ends with a zero byte, until it is freed on the next line.
        let text = unsafe { text(name) };
        // SAFETY: the text came from the library and is freed once.
        unsafe { (f.free_text)(name) };
        // SAFETY: the port is alive and `element_type` is ours to write to.
        library.check(unsafe { (f.port_type)(port, &raw mut element_type) })?;
        let mut shape = PartialShape { rank: Dimension { min: 0, max: 0 }, dims: ptr::null_mut() };
        // SAFETY: the port is alive and `shape` is ours to write to.
        library.check(unsafe { (f.port_shape)(port, &raw mut shape) })?;
        let rank = usize::try_from(shape.rank.max).ok().filter(|_| shape.rank.min == shape.rank.max);
        let extent = |dim: &Dimension| if dim.min == dim.max { dim.min } else { -1 };
        let dims = rank.map(|rank| match rank {
            0 => vec![],
            // SAFETY: the library wrote as many dimensions as the rank says.
            rank => unsafe { slice::from_raw_parts(shape.dims, rank) }.iter().map(extent).collect(),
        });
        // SAFETY: the shape came from the library and is freed once.
        unsafe { (f.free_partial)(&raw mut shape) };
        Ok(Port { name: text, element_type, dims })
    }
}

impl Drop for PortHandle {
    fn drop(&mut self) {
        // SAFETY: the port came from the library and is freed here alone.
        unsafe { (self.1.functions.free_port)(self.0.as_ptr()) };
    }
}

// === impl Program ===

impl Program {
    /// One more request.
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn request(self: &Arc<Self>) -> Result<Request, String> {
        let mut request = ptr::null_mut();
        // SAFETY: the compiled model is alive and `request` is ours to write to.
        self.library
            .check(unsafe { (self.library.functions.new_request)(self.compiled.as_ptr(), &raw mut request) })?;
        Ok(Request::new(self.clone(), found(request)?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the compiled model came from the library and is freed here alone; requests of it keep `self`.
        unsafe { (self.library.functions.free_compiled)(self.compiled.as_ptr()) };
    }
}
