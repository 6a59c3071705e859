//! Finding and loading the shim, and LibTorch with it: once per process, at the first model that needs it.
//!
//! A search that fails is not remembered: once the library is installed the next load of a model finds it. A search
//! that succeeds is final: LibTorch cannot be unloaded.

use std::path::PathBuf;

use nereid_backend::LibrarySearch;
use nereid_gpu::Gpus;
use nereid_inference::InferError;
use parking_lot::Mutex;

use crate::ffi::Torch;

/// Names the shim, before any folder is searched.
const LIBRARY_VARIABLE: &str = "NEREID_PYTORCH_LIBRARY";

/// Where `cargo xtask backend pytorch` puts the shim, below the directory that it is run in; LibTorch lies in `lib` there.
const SETUP_FOLDER: &str = ".nereid/pytorch";

const FILE_NAME: &str = "libnereid_torch.so";

static LOADED: Mutex<Option<&'static Torch>> = Mutex::new(None);

/// Where the library is, and whose native code may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PytorchSettings {
    pub search: LibrarySearch,
    /// Folders whose AOTInductor packages may be loaded, at any depth: what is in them runs in the server's process. None
    /// unless the operator names them.
    pub trusted_folders: Vec<PathBuf>,
}

// === impl PytorchSettings ===

impl PytorchSettings {
    /// The folders that xtask uses, seen from the current directory and from the executable.
    pub fn discover() -> Self {
        Self { search: LibrarySearch::discover(SETUP_FOLDER), trusted_folders: vec![] }
    }
}

/// The process's LibTorch, loading it if this is the first call that finds it: with its part for CUDA where the server has
/// GPUs, because LibTorch remembers for ever that there was none when it was first asked.
///
/// # Errors
/// `Unavailable`, with every place tried, what was wrong there, and what to run.
pub(crate) fn torch(settings: &PytorchSettings, gpus: &Gpus, model_name: &str) -> Result<&'static Torch, InferError> {
    let mut loaded = LOADED.lock();
    if let Some(torch) = *loaded {
        return Ok(torch);
    }
    let found = settings.search.load(LIBRARY_VARIABLE, FILE_NAME, Torch::load);
    let torch = found.map_err(|tried| {
        InferError::unavailable(format!(
            "model '{model_name}' needs LibTorch and the shim {FILE_NAME}, and none could be loaded; tried: {tried}. Run \
             `cargo xtask backend pytorch`, or name the shim in {LIBRARY_VARIABLE}"
        ))
    })?;
    if gpus.all().is_empty() {
        tracing::info!("LibTorch {}, on the CPU", torch.version());
    } else {
        match torch.cuda() {
            Ok(devices) => tracing::info!("LibTorch {}, {devices} CUDA devices", torch.version()),
            Err(problem) => tracing::warn!("LibTorch {}, on the CPU alone: {problem}", torch.version()),
        }
    }
    Ok(*loaded.insert(torch))
}
