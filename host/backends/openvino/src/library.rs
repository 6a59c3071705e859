//! Finding and loading OpenVINO: once per process, at the first model that needs it.
//!
//! A search that fails is not remembered: once the library is installed the next load of a model finds it. A search
//! that succeeds is final.

use nereid_backend::LibrarySearch;
use nereid_inference::InferError;
use parking_lot::Mutex;

use crate::ffi::OpenVino;

/// Names the library, before any folder is searched.
const LIBRARY_VARIABLE: &str = "NEREID_OPENVINO_LIBRARY";

/// Where `cargo xtask backend openvino` puts the library and its plugins, below the directory that it is run in.
const SETUP_FOLDER: &str = ".nereid/openvino";

const FILE_NAME: &str = "libopenvino_c.so";

static LOADED: Mutex<Option<&'static OpenVino>> = Mutex::new(None);

/// Where the library is, and what a configuration leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenvinoSettings {
    pub search: LibrarySearch,
    /// `max_batch_size` of a model that can batch and whose configuration does not say; 0 or less is no batching.
    pub default_max_batch_size: i32,
}

// === impl OpenvinoSettings ===

impl OpenvinoSettings {
    /// The folders that xtask uses, seen from the current directory and from the executable, and Triton's default batch
    /// size.
    pub fn discover() -> Self {
        Self { search: LibrarySearch::discover(SETUP_FOLDER), default_max_batch_size: 4 }
    }
}

/// The process's OpenVINO, loading it if this is the first call that finds it.
///
/// # Errors
/// `Unavailable`, with every place tried, what was wrong there, and what to run.
pub(crate) fn openvino(settings: &OpenvinoSettings, model_name: &str) -> Result<&'static OpenVino, InferError> {
    let mut loaded = LOADED.lock();
    if let Some(library) = *loaded {
        return Ok(library);
    }
    let library = settings.search.load(LIBRARY_VARIABLE, FILE_NAME, OpenVino::load).map_err(|tried| {
        InferError::unavailable(format!(
            "model '{model_name}' needs the OpenVINO library {FILE_NAME}, and none could be loaded; tried: {tried}. Run \
             `cargo xtask backend openvino`, or name the library in {LIBRARY_VARIABLE}"
        ))
    })?;
    Ok(*loaded.insert(library))
}
