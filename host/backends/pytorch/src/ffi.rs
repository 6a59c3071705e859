//! The shim's C interface (`shim/nereid_torch.h`), and nothing else: the one place of this crate with `unsafe`.
//!
//! Promises: what is handed out here can be used from any thread and outlives whatever it came from; memory that is given
//! to LibTorch stays as it is until LibTorch lets it go; two executions never meet in a model that changes itself. Costs: an
//! allocation per input and output.
#![allow(unsafe_code)] // Calls of a C interface; every block says what it relies on.

mod argument;
mod functions;
mod output;
mod raw;
mod stream;

use std::{
    ffi::{CStr, CString, c_char},
    path::Path,
    ptr::{self, NonNull},
    sync::OnceLock,
};

use parking_lot::Mutex;

use crate::settings::ModelSettings;

use self::{argument::Lent, functions::Functions, output::OutputList, raw::RawModel};

pub(crate) use self::{
    argument::{Argument, Memory, Part, Usage},
    output::Output,
    stream::Stream,
};

/// The shim and LibTorch behind it, loaded and never unloaded.
pub(crate) struct Torch {
    functions: Functions,
    /// How many devices LibTorch's part for CUDA can use, or why there is no such part.
    cuda: OnceLock<Result<i32, String>>,
}

/// Where a model computes; the shim's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Cpu,
    Cuda(i32),
    /// Wherever the file says.
    AsSaved,
}

/// A loaded file.
pub(crate) struct Model {
    torch: &'static Torch,
    model: NonNull<RawModel>,
    /// Held during an execution, where a model changes itself.
    turn: Option<Mutex<()>>,
}

/// What a file says of its `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) arguments: Vec<String>,
    /// How many of them, from the first on, cannot be left out.
    pub(crate) arguments_needed: usize,
    /// It takes one dictionary from names to tensors instead.
    pub(crate) takes_dictionary: bool,
    /// It may write to what it is given.
    pub(crate) writes_inputs: bool,
    /// It may change itself.
    pub(crate) writes_itself: bool,
    pub(crate) weight_bytes: u64,
}

/// Where and how an execution on a device is done.
pub(crate) struct OnDevice<'a> {
    pub(crate) stream: &'a Stream,
    /// All outputs stay on the device; if not, large ones still do, because copies to page-locked memory are quicker.
    pub(crate) keeps_outputs: bool,
    /// Outputs that stay there are copied, because the model may change them later.
    pub(crate) copies_outputs: bool,
}

/// Frees a text of the shim.
struct Text<'t>(*mut c_char, &'t Torch);

// SAFETY: the shim's functions may be called on a model from any thread; executions at the same time are fine in LibTorch
// unless the model changes itself, and then `turn` keeps them apart.
unsafe impl Send for Model {}
// SAFETY: as above; everything else that is asked of a model only reads what was fixed when it was loaded.
unsafe impl Sync for Model {}
// === impl Torch ===

impl Torch {
    /// Loads the shim, and LibTorch with it.
    ///
    /// # Errors
    /// The file is no library, LibTorch is not beside it, or it is the shim of another release of this server.
    pub(crate) fn load(path: &Path) -> Result<&'static Self, String> {
        let torch = Self { functions: Functions::load(path)?, cuda: OnceLock::new() };
        Ok(Box::leak(Box::new(torch)))
    }

    /// LibTorch's version.
    pub(crate) fn version(&self) -> String {
        // SAFETY: the function takes nothing and returns a constant that ends with a zero byte.
        unsafe { CStr::from_ptr((self.functions.version)()) }.to_string_lossy().into_owned()
    }

    /// How many devices LibTorch can use; the first call loads its part for CUDA, and has to come before everything that asks
    /// LibTorch for a device: it remembers that there was none.
    ///
    /// # Errors
    /// Why it has no such part.
    pub(crate) fn cuda(&self) -> Result<i32, String> {
        let load = || {
            let mut error = ptr::null_mut();
            // SAFETY: `error` is ours to write to; loading runs the initialisers of a library of LibTorch's.
            match unsafe { (self.functions.load_cuda)(&raw mut error) } {
                devices if devices >= 0 => Ok(devices),
                _ => Err(self.text(error)),
            }
        };
        self.cuda.get_or_init(load).clone()
    }

    /// Asks for threads across operators; the number now in force, since only the first call counts.
    pub(crate) fn set_interop_threads(&self, threads: i32) -> i32 {
        // SAFETY: the function takes any number and catches what is thrown.
        unsafe { (self.functions.set_interop_threads)(threads) }
    }

    /// Loads a TorchScript file.
    ///
    /// # Errors
    /// LibTorch's own words.
    pub(crate) fn load_model(&'static self, path: &Path, place: Place, inference_mode: bool) -> Result<Model, String> {
        let (kind, device) = place.numbers();
        let inference_mode = i32::from(inference_mode);
        self.load_with(path, |path, error| {
            // SAFETY: the path ends with a zero byte and lives until the call returns; `error` is the caller's to write to.
            unsafe { (self.functions.load)(path.as_ptr(), kind, device, inference_mode, error) }
        })
    }

    /// Whether an AOTInductor package was compiled for CUDA devices. Runs nothing of what is in it.
    ///
    /// # Errors
    /// The file is no such package, or one for something else.
    pub(crate) fn is_package_for_cuda(&self, path: &Path) -> Result<bool, String> {
        let path = c_path(path)?;
        let mut error = ptr::null_mut();
        // SAFETY: the path ends with a zero byte and lives until the call returns; `error` is ours to write to.
        match unsafe { (self.functions.package_place)(path.as_ptr(), &raw mut error) } {
            place if place >= 0 => Ok(place == 1),
            _ => Err(self.text(error)),
        }
    }

    /// Loads an AOTInductor package, for the place that it was compiled for. From here on its code runs: whoever calls this
    /// was told by the operator that it may.
    ///
    /// # Errors
    /// LibTorch's own words.
    pub(crate) fn load_package(&'static self, path: &Path, place: Place) -> Result<Model, String> {
        let (kind, device) = place.numbers();
        self.load_with(path, |path, error| {
            // SAFETY: the path ends with a zero byte and lives until the call returns; `error` is the caller's to write to.
            unsafe { (self.functions.load_package)(path.as_ptr(), kind, device, error) }
        })
    }

    fn load_with(
        &'static self,
        path: &Path,
        load: impl FnOnce(&CStr, *mut *mut c_char) -> *mut RawModel,
    ) -> Result<Model, String> {
        let mut error = ptr::null_mut();
        let model = load(&c_path(path)?, &raw mut error);
        let model = NonNull::new(model).ok_or_else(|| self.text(error))?;
        let mut model = Model { torch: self, model, turn: None };
        model.turn = model.description().writes_itself.then(|| Mutex::new(()));
        Ok(model)
    }

    /// What the shim left behind `error`.
    fn text(&self, error: *mut c_char) -> String {
        Text(error, self).into_string()
    }
}

fn c_path(path: &Path) -> Result<CString, String> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())
}

// === impl Place ===

impl Place {
    fn numbers(self) -> (u32, i32) {
        match self {
            Self::Cpu => (0, 0),
            Self::Cuda(device) => (1, device),
            Self::AsSaved => (2, 0),
        }
    }
}

// === impl Model ===

impl Model {
    /// What the file says of its `forward`.
    pub(crate) fn description(&self) -> Description {
        let (f, model) = (&self.torch.functions, self.model.as_ptr());
        let mut arguments = Vec::new();
        let mut arguments_needed = 0;
        // SAFETY: (also of every call below) the model is alive; an index behind the last argument gives null.
        while let Some(name) = NonNull::new(unsafe { (f.argument)(model, arguments.len()) }.cast_mut()) {
            // SAFETY: as above.
            if unsafe { (f.argument_has_default)(model, arguments.len()) } == 0 {
                arguments_needed = arguments.len() + 1;
            }
            // SAFETY: a name ends with a zero byte and lives as long as the model.
            arguments.push(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned());
        }
        // SAFETY: as above.
        let flags = unsafe { [(f.takes_dictionary)(model), (f.writes_inputs)(model), (f.writes_itself)(model)] };
        let [takes_dictionary, writes_inputs, writes_itself] = flags.map(|flag| flag != 0);
        // SAFETY: as above.
        let weight_bytes = unsafe { (f.weight_bytes)(model) };
        Description { arguments, arguments_needed, takes_dictionary, writes_inputs, writes_itself, weight_bytes }
    }

    /// Executes `forward`, on a device for a model that was loaded on one. Outputs are complete.
    ///
    /// # Errors
    /// LibTorch's own words, traceback and all.
    pub(crate) fn run(
        &self,
        settings: &ModelSettings,
        arguments: Vec<Argument>,
        on_device: Option<OnDevice<'_>>,
    ) -> Result<Vec<Output>, String> {
        let [keeps, copies] =
            on_device.as_ref().map_or([false; 2], |device| [device.keeps_outputs, device.copies_outputs]);
        let options = raw::RunOptions::of(settings, keeps, copies);
        let stream = on_device.as_ref().map(|device| device.stream);
        let _turn = self.turn.as_ref().map(Mutex::lock);
        let lent = Lent::new(arguments);
        let inputs = lent.inputs();
        let mut error = ptr::null_mut();
        // SAFETY: model, stream, options and what `lent` holds live until the call returns. Each part's memory lives until its
        // owner is released, which the shim does once, whatever comes of the call.
        let result = unsafe {
            let stream = stream.map_or(ptr::null(), |stream| stream.as_ptr());
            let (model, inputs_at) = (self.model.as_ptr(), inputs.as_ptr());
            (self.torch.functions.run)(model, stream, &raw const options, inputs_at, inputs.len(), &raw mut error)
        };
        let result = NonNull::new(result).ok_or_else(|| self.torch.text(error))?;
        Ok(OutputList::new(result, self.torch).take_all(stream.map(Stream::gpu)))
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the model came from the shim and is freed here alone; no execution is under way, since each borrows `self`.
        unsafe { (self.torch.functions.free_model)(self.model.as_ptr()) };
    }
}

// === impl Text ===

impl Text<'_> {
    fn into_string(self) -> String {
        if self.0.is_null() {
            return String::new();
        }
        // SAFETY: not null, so it is a text of the shim's that ends with a zero byte and lives until this is dropped.
        unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned()
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        // SAFETY: the text came from the shim, which takes null too, and is freed here alone.
        unsafe { (self.1.functions.free_text)(self.0) };
    }
}
