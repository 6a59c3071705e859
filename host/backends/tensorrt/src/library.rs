//! Finding and loading the shim, and TensorRT with it: once per process, at the first model that needs it.
//!
//! A search that fails is not remembered: once the library is installed the next load of a model finds it. A search
//! that succeeds is final. Neither needs a driver.

use std::{
    env,
    ffi::CString,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use nereid_backend::LibrarySearch;
use nereid_inference::InferError;
use parking_lot::Mutex;

use crate::ffi::TensorRt;

/// Names the shim, before any folder is searched.
const LIBRARY_VARIABLE: &str = "NEREID_TENSORRT_LIBRARY";

/// Names TensorRT itself, before the shim's folder and the system's.
const RUNTIME_VARIABLE: &str = "NEREID_TENSORRT_RUNTIME";

/// Where `cargo xtask backend tensorrt` puts the shim, below the directory that it is run in.
const SETUP_FOLDER: &str = ".nereid/tensorrt";

const FILE_NAME: &str = "libnereid_tensorrt.so";

static LOADED: Mutex<Option<&'static TensorRt>> = Mutex::new(None);

/// Where the library is, and what plans may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorrtSettings {
    pub search: LibrarySearch,
    /// Plans may bring the runtime that they run with: native code out of the model's file.
    pub version_compatible: bool,
}

// === impl TensorrtSettings ===

impl TensorrtSettings {
    /// The folders that xtask uses, seen from the current directory and from the executable.
    pub fn discover() -> Self {
        Self { search: LibrarySearch::discover(SETUP_FOLDER), version_compatible: false }
    }
}

/// The process's TensorRT, loading it if this is the first call that finds it.
///
/// # Errors
/// `Unavailable`, with every place tried, what was wrong there, and what to do.
pub(crate) fn tensorrt(settings: &TensorrtSettings, model_name: &str) -> Result<&'static TensorRt, InferError> {
    let mut loaded = LOADED.lock();
    if let Some(tensorrt) = *loaded {
        return Ok(tensorrt);
    }
    let load = |shim: &Path| TensorRt::load(shim, |major| runtimes(shim, major, env::var_os(RUNTIME_VARIABLE)));
    let found = settings.search.load(LIBRARY_VARIABLE, FILE_NAME, load).map_err(|tried| {
        InferError::unavailable(format!(
            "model '{model_name}' needs TensorRT and the shim {FILE_NAME}, and none could be loaded; tried: {tried}. Run \
             `cargo xtask backend tensorrt` for the shim, install TensorRT of its version where the dynamic loader finds it, or \
             name the shim in {LIBRARY_VARIABLE} and TensorRT in {RUNTIME_VARIABLE}"
        ))
    })?;
    tracing::info!("TensorRT {}", found.version());
    Ok(*loaded.insert(Box::leak(Box::new(found))))
}

/// What is tried, in this order: what the variable names alone, else the whole library and the one that only executes, beside
/// the shim and then where the system has them.
fn runtimes(shim: &Path, major: u32, variable: Option<std::ffi::OsString>) -> Vec<CString> {
    let named = variable.filter(|name| !name.is_empty()).map(PathBuf::from);
    let files = ["libnvinfer.so", "libnvinfer_lean.so"].map(|name| format!("{name}.{major}"));
    let beside = shim.parent().into_iter().flat_map(|folder| files.iter().map(|file| folder.join(file)));
    let paths: Vec<PathBuf> = match named {
        Some(path) => vec![path],
        None => beside.filter(|path| path.is_file()).chain(files.iter().map(PathBuf::from)).collect(),
    };
    paths.iter().filter_map(|path| CString::new(path.as_os_str().as_bytes()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(shim: &Path, variable: Option<&str>) -> Vec<String> {
        let names = runtimes(shim, 11, variable.map(Into::into));
        names.iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_variable_wins_over_the_shims_folder_and_that_over_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let shim = folder.path().join(FILE_NAME);
        assert_eq!(names(&shim, Some("/opt/libnvinfer.so.11")), ["/opt/libnvinfer.so.11"]);
        assert_eq!(names(&shim, Some("")), ["libnvinfer.so.11", "libnvinfer_lean.so.11"]);
        let lean = folder.path().join("libnvinfer_lean.so.11");
        std::fs::write(&lean, "").unwrap();
        assert_eq!(names(&shim, None), [lean.to_str().unwrap(), "libnvinfer.so.11", "libnvinfer_lean.so.11"]);
    }
}
