//! The forest of a version: which file it is, and what is in it.

use std::{fs, path::PathBuf};

use nereid_forest::{FILE_BYTES_MAX, Forest, ForestError, Format, ReadOptions, read};
use nereid_inference::{InferError, ModelSource};

use crate::settings::ModelSettings;

/// A file that was read.
pub(crate) struct ModelFile {
    pub(crate) forest: Forest,
    pub(crate) format: Format,
}

/// Where a version's forest is.
struct Found {
    path: PathBuf,
    format: Format,
}

// === impl ModelFile ===

impl ModelFile {
    /// Finds and reads it.
    ///
    /// # Errors
    /// There is none, it is too large, or no forest.
    pub(crate) fn open(source: &ModelSource, settings: ModelSettings) -> Result<Self, InferError> {
        let Found { path, format } = find(source, settings)?;
        let name = &source.config.name;
        let unreadable = |problem: String| {
            InferError::invalid_argument(format!("model '{name}': cannot read {}: {problem}", path.display()))
        };
        let metadata = fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?;
        if metadata.len() > FILE_BYTES_MAX {
            return Err(unreadable(format!("it has {} bytes, at most {FILE_BYTES_MAX} are read", metadata.len())));
        }
        let bytes = fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
        let options = ReadOptions { allow_unknown_fields: settings.allow_unknown_fields };
        let forest = read(format, &bytes, options).map_err(|error| match error {
            ForestError::Unsupported(text) => {
                InferError::unsupported(format!("model '{name}': cannot serve {}: {text}", path.display()))
            }
            error => unreadable(format!("as {}: {error}", format.model_type())),
        })?;
        Ok(Self { forest, format })
    }
}

/// The file that the configuration names, or the usual one of its `model_type`; without either the first usual one that
/// is there.
fn find(source: &ModelSource, settings: ModelSettings) -> Result<Found, InferError> {
    let (config, directory) = (&source.config, &source.version_directory);
    let name = &config.name;
    let written = config.default_model_filename.as_str();
    let missing = |path: PathBuf| {
        InferError::not_found(format!("model '{name}': the model file {} does not exist", path.display()))
    };
    let usual = |format: &Format| directory.join(format.default_filename());
    let (path, format) = match (written, settings.format) {
        ("", Some(format)) => (usual(&format), format),
        ("", None) => {
            let format = Format::ALL.into_iter().find(|format| usual(format).is_file()).ok_or_else(|| {
                let names: Vec<&str> = Format::ALL.iter().map(|format| format.default_filename()).collect();
                InferError::not_found(format!(
                    "model '{name}': {} has none of the files {}; put one there, or name yours in \
                     'default_model_filename' and its kind in the parameter 'model_type'",
                    directory.display(),
                    names.join(", ")
                ))
            })?;
            (usual(&format), format)
        }
        (file, Some(format)) => (directory.join(file), format),
        (file, None) => (directory.join(file), by_ending(name, file)?),
    };
    // A directory of that name holds the file under its usual name, as upstream.
    let path = if path.is_dir() { path.join(format.default_filename()) } else { path };
    if path.is_file() { Ok(Found { path, format }) } else { Err(missing(path)) }
}

/// The kind of a file whose `model_type` is not written.
fn by_ending(model_name: &str, file: &str) -> Result<Format, InferError> {
    let ending = |format: &Format| format.default_filename().rsplit_once('.').map(|(_, ending)| ending);
    let has_ending = |format: &&Format| {
        format.default_filename() == file || file.rsplit_once('.').map(|(_, ending)| ending) == ending(format)
    };
    let formats = Format::ALL.iter().filter(has_ending);
    let exact = formats.clone().find(|format| format.default_filename() == file);
    exact.or_else(|| formats.clone().next()).copied().ok_or_else(|| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.model_type()).collect();
        InferError::invalid_argument(format!(
            "model '{model_name}': what kind of file {file} is must stand in the parameter 'model_type': one of {}",
            known.join(", ")
        ))
    })
}
