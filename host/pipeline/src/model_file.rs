//! Files that a configuration names inside a model's directory: labels, data of warm-up requests, initial states.
//!
//! Promises: what is read lies in the model's directory, links followed. Refuses everything else, files that are
//! missing or no files, and those beyond a limit of bytes. A configuration may come from a client (a load request with
//! an override), so a name in it is not trusted.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The bytes of `filename` in the model's directory, or what is wrong with it, to stand behind the file's name.
pub(crate) fn read(model_directory: &Path, filename: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let path = model_directory.join(filename);
    let (directory, file) = (resolve(model_directory)?, resolve(&path)?);
    if !file.starts_with(&directory) {
        let (file, directory) = (file.display(), directory.display());
        return Err(format!("lies at {file}, expected a file inside the model's directory {directory}"));
    }
    let unreadable = |error| format!("cannot be read from {}: {error}", file.display());
    let metadata = fs::metadata(&file).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("is no file: {}", file.display()));
    }
    if metadata.len() > bytes_max {
        return Err(format!("has {} bytes, expected at most {bytes_max}", metadata.len()));
    }
    fs::read(&file).map_err(unreadable)
}

fn resolve(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("cannot be found at {}: {error}", path.display()))
}
