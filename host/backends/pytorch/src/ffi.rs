//! The shim's C interface (`shim/nereid_torch.h`), and nothing else: the one place of this crate with `unsafe`.
//!
//! Promises: what is handed out here can be used from any thread and outlives whatever it came from; memory that is given
//! to LibTorch stays as it is until LibTorch lets it go; two executions never meet in a model that changes itself. Costs: an
//! allocation per input and output.
#![allow(unsafe_code)] // Calls of a C interface; every block says what it relies on.

mod functions;
mod raw;

use std::{
    ffi::{CStr, CString, c_char, c_void},
    path::Path,
    ptr::{self, NonNull},
    slice,
};

use bytes::Bytes;
use nereid_tensor::{Buffer, BufferMut, DataType, Shape, Tensor};
use parking_lot::Mutex;

use crate::{element_type, settings::ModelSettings};

use self::{functions::Functions, raw::RawModel};

/// The shim and LibTorch behind it, loaded and never unloaded.
pub(crate) struct Torch {
    functions: Functions,
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

/// One argument.
pub(crate) struct Argument {
    /// The key in a dictionary.
    pub(crate) key: Option<CString>,
    pub(crate) data_type: DataType,
    pub(crate) shape: Shape,
    pub(crate) memory: Memory,
}

/// The elements of an argument.
pub(crate) enum Memory {
    /// Read where they are. Nobody may write to them, the model included.
    Shared(Tensor),
    /// A copy, which the model may write to.
    Own(BufferMut),
}

/// One output.
pub(crate) struct Output {
    /// The key in a dictionary.
    pub(crate) key: Option<String>,
    /// `None` for what the protocol lacks.
    pub(crate) data_type: Option<DataType>,
    pub(crate) shape: Vec<i64>,
    pub(crate) buffer: Buffer,
}

/// Frees a text of the shim.
struct Text(*mut c_char, &'static Torch);

/// Frees what is left of a result.
struct OutputList(NonNull<raw::RawResult>, &'static Torch);

/// A tensor of LibTorch's as memory; freed with the last view of it.
struct TensorMemory {
    tensor: NonNull<raw::RawTensor>,
    torch: &'static Torch,
    data: *const u8,
    length_bytes: usize,
}

// SAFETY: the shim's functions may be called on a model from any thread; executions at the same time are fine in LibTorch
// unless the model changes itself, and then `turn` keeps them apart.
unsafe impl Send for Model {}
// SAFETY: as above; everything else that is asked of a model only reads what was fixed when it was loaded.
unsafe impl Sync for Model {}
// SAFETY: a tensor's count of references is atomic in LibTorch, and its memory is only read here.
unsafe impl Send for TensorMemory {}
// SAFETY: as above.
unsafe impl Sync for TensorMemory {}

// === impl Torch ===

impl Torch {
    /// Loads the shim, and LibTorch with it.
    ///
    /// # Errors
    /// The file is no library, LibTorch is not beside it, or it is the shim of another release of this server.
    pub(crate) fn load(path: &Path) -> Result<&'static Self, String> {
        let torch = Self { functions: Functions::load(path)? };
        Ok(Box::leak(Box::new(torch)))
    }

    /// LibTorch's version.
    pub(crate) fn version(&self) -> String {
        // SAFETY: the function takes nothing and returns a constant that ends with a zero byte.
        unsafe { CStr::from_ptr((self.functions.version)()) }.to_string_lossy().into_owned()
    }

    /// Devices that LibTorch could use.
    pub(crate) fn cuda_devices(&self) -> i32 {
        // SAFETY: the function takes nothing and catches what is thrown.
        unsafe { (self.functions.cuda_devices)() }
    }

    /// Asks for threads across operators; the number now in force, since only the first call counts.
    pub(crate) fn set_interop_threads(&self, threads: i32) -> i32 {
        // SAFETY: the function takes any number and catches what is thrown.
        unsafe { (self.functions.set_interop_threads)(threads) }
    }

    /// Loads a file.
    ///
    /// # Errors
    /// LibTorch's own words.
    pub(crate) fn load_model(&'static self, path: &Path, place: Place, inference_mode: bool) -> Result<Model, String> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        let (kind, device) = place.numbers();
        let mut error = ptr::null_mut();
        // SAFETY: the path ends with a zero byte and lives until the call returns; `error` is ours to write to.
        let model =
            unsafe { (self.functions.load)(path.as_ptr(), kind, device, i32::from(inference_mode), &raw mut error) };
        let model = NonNull::new(model).ok_or_else(|| Text(error, self).into_string())?;
        let mut model = Model { torch: self, model, turn: None };
        model.turn = model.description().writes_itself.then(|| Mutex::new(()));
        Ok(model)
    }
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

    /// Executes `forward`.
    ///
    /// # Errors
    /// LibTorch's own words, traceback and all.
    pub(crate) fn run(&self, settings: &ModelSettings, arguments: Vec<Argument>) -> Result<Vec<Output>, String> {
        let options = raw::RunOptions::of(settings);
        let shapes: Vec<Vec<i64>> = arguments.iter().map(|argument| argument.shape.to_signed()).collect();
        let keys: Vec<Option<CString>> = arguments.iter().map(|argument| argument.key.clone()).collect();
        let pairs = arguments.into_iter().zip(&shapes).zip(&keys);
        let inputs: Vec<raw::Input> =
            pairs.map(|((argument, shape), key)| argument.into_raw(shape, key.as_deref())).collect();
        let mut error = ptr::null_mut();
        let _turn = self.turn.as_ref().map(Mutex::lock);
        // SAFETY: model, options, inputs, their shapes and keys live until the call returns. Each input's memory lives until
        // its owner is released, which the shim does once, whatever comes of the call.
        let result = unsafe {
            let (model, inputs_at) = (self.model.as_ptr(), inputs.as_ptr());
            (self.torch.functions.run)(model, &raw const options, inputs_at, inputs.len(), &raw mut error)
        };
        let result = NonNull::new(result).ok_or_else(|| Text(error, self.torch).into_string())?;
        Ok(OutputList(result, self.torch).take_all())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the model came from the shim and is freed here alone; no execution is under way, since each borrows `self`.
        unsafe { (self.torch.functions.free_model)(self.model.as_ptr()) };
    }
}

// === impl Argument ===

impl Argument {
    /// Hands the memory over to the shim's care.
    fn into_raw(self, shape: &[i64], key: Option<&CStr>) -> raw::Input {
        let memory = Box::new(self.memory);
        let data = match &*memory {
            // The shim takes a pointer to mutable memory; a model that would write gets a copy (`Memory::Shared`).
            Memory::Shared(tensor) => tensor.buffer().as_slice().as_ptr().cast_mut(),
            Memory::Own(buffer) => buffer.as_slice().as_ptr().cast_mut(),
        };
        raw::Input {
            key: key.map_or(ptr::null(), CStr::as_ptr),
            data: data.cast::<c_void>(),
            dimensions: shape.as_ptr(),
            rank: shape.len(),
            // No plan has an argument of BYTES; the shim refuses the number.
            data_type: element_type::number(self.data_type).unwrap_or(u32::MAX),
            owner: Box::into_raw(memory).cast::<c_void>(),
            release: release_memory,
        }
    }
}

/// Drops the memory of an argument.
extern "C" fn release_memory(owner: *mut c_void) {
    // SAFETY: `into_raw` made this pointer from a box of this type, and the shim gives it back once.
    drop(unsafe { Box::from_raw(owner.cast::<Memory>()) });
}

// === impl Text ===

impl Text {
    fn into_string(self) -> String {
        if self.0.is_null() {
            return String::new();
        }
        // SAFETY: not null, so it is a text of the shim's that ends with a zero byte and lives until this is dropped.
        unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned()
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: the text came from the shim, which takes null too, and is freed here alone.
        unsafe { (self.1.functions.free_text)(self.0) };
    }
}

// === impl OutputList ===

impl OutputList {
    fn take_all(self) -> Vec<Output> {
        // SAFETY: the result is alive.
        let count = unsafe { (self.1.functions.output_count)(self.0.as_ptr()) };
        (0..count).filter_map(|index| self.take(index)).collect()
    }

    fn take(&self, index: usize) -> Option<Output> {
        let (f, result) = (&self.1.functions, self.0.as_ptr());
        // SAFETY: the result is alive; an index without a key gives null.
        let key = NonNull::new(unsafe { (f.output_key)(result, index) }.cast_mut());
        // SAFETY: a key ends with a zero byte and lives as long as the result.
        let key = key.map(|key| unsafe { CStr::from_ptr(key.as_ptr()) }.to_string_lossy().into_owned());
        // SAFETY: the result is alive; each output is given out once, and null behind the last.
        let tensor = NonNull::new(unsafe { (f.take_output)(result, index) })?;
        let mut view = raw::View::EMPTY;
        // SAFETY: the tensor is alive and `view` is ours to write to.
        unsafe { (f.view)(tensor.as_ptr(), &raw mut view) };
        let shape = match view.rank {
            0 => vec![],
            // SAFETY: the shim points to this many dimensions inside the tensor, which is alive.
            rank => unsafe { slice::from_raw_parts(view.dimensions, rank) }.to_vec(),
        };
        let data_type = element_type::data_type(view.data_type);
        let length_bytes = data_type.and_then(|known| Shape::from_signed(&shape).ok()?.byte_size(known)).unwrap_or(0);
        let memory = TensorMemory { tensor, torch: self.1, data: view.data.cast::<u8>(), length_bytes };
        let is_empty = length_bytes == 0 || memory.data.is_null();
        let buffer = if is_empty { Buffer::default() } else { Bytes::from_owner(memory).into() };
        Some(Output { key, data_type, shape, buffer })
    }
}

impl Drop for OutputList {
    fn drop(&mut self) {
        // SAFETY: the result came from the shim and is freed here alone.
        unsafe { (self.1.functions.free_result)(self.0.as_ptr()) };
    }
}

// === impl TensorMemory ===

impl AsRef<[u8]> for TensorMemory {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the shim gives dense tensors, so that as many bytes lie at `data` as type and shape call for; they live as
        // long as the tensor held here, and whoever could write to them (a model that changes itself) had them copied.
        unsafe { slice::from_raw_parts(self.data, self.length_bytes) }
    }
}

impl Drop for TensorMemory {
    fn drop(&mut self) {
        // SAFETY: the tensor came from the shim and is freed here alone.
        unsafe { (self.torch.functions.free_tensor)(self.tensor.as_ptr()) };
    }
}
