//! What the repositories look like at one moment: every model with its files, and when each was written.
//!
//! Costs one listing per directory and one look per file; nothing is read. Names that begin with a dot are left out:
//! they belong to editors and tools; so are the folders that a plugin's author works in. A file rewritten with the same size within one tick of the file system's clock
//! looks unchanged.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::SystemTime,
};

use nereid_inference::InferError;

use crate::{layout, model_id::ModelId, places::Places};

/// Directories below a model that are looked into: `<version>/model/variables/` and some to spare. Ends cycles of
/// symbolic links.
const DEPTH_MAX: usize = 8;

/// Files and directories of one model that are looked at. Real models have a few; a shared store linked into a model
/// by mistake has millions.
const ENTRY_COUNT_MAX: usize = 100_000;

/// Every model.
pub(crate) type Snapshot = BTreeMap<ModelId, ModelFiles>;

/// What lies in a model's directories, by full path: a model that moves to another repository has changed.
pub(crate) type ModelFiles = BTreeMap<PathBuf, Stamp>;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// There is a directory; what is in it speaks for itself.
    Directory,
    File {
        /// `None` where the file system keeps no times.
        modified: Option<SystemTime>,
        bytes: u64,
    },
    /// It is listed and cannot be looked at.
    Unreadable,
}

/// Looks at every model.
///
/// # Errors
/// A repository cannot be listed.
pub(crate) fn take(places: &Places) -> Result<Snapshot, InferError> {
    let found = places.scan()?;
    Ok(found.into_iter().map(|(id, directories)| (id, model_files(&directories))).collect())
}

/// Looks at one model.
pub(crate) fn model_files(directories: &[PathBuf]) -> ModelFiles {
    let mut files = ModelFiles::new();
    let mut unexplored: Vec<(PathBuf, usize)> = directories.iter().map(|path| (path.clone(), 0)).collect();
    while let Some((directory, depth)) = unexplored.pop() {
        if files.len() >= ENTRY_COUNT_MAX {
            tracing::warn!("'{}': only {ENTRY_COUNT_MAX} files are watched for changes", directory.display());
            break;
        }
        let Some(paths) = list(&directory) else {
            files.insert(directory, Stamp::Unreadable);
            continue;
        };
        files.insert(directory, Stamp::Directory);
        let is_model = |path: &PathBuf| depth > 0 || !path.file_name().is_some_and(is_development);
        for path in paths.into_iter().filter(is_model) {
            match stamp(&path) {
                Stamp::Directory if depth < DEPTH_MAX => unexplored.push((path, depth + 1)),
                stamp => {
                    files.insert(path, stamp);
                }
            }
        }
    }
    files
}

fn is_development(name: &OsStr) -> bool {
    name.to_str().is_some_and(layout::is_development)
}

/// What is in the directory, without hidden names.
fn list(directory: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let shown = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    Some(shown.map(|entry| entry.path()).collect())
}

/// Follows symbolic links, as loading does.
fn stamp(path: &Path) -> Stamp {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Stamp::Directory,
        Ok(metadata) => file(&metadata),
        Err(_) => Stamp::Unreadable,
    }
}

fn file(metadata: &Metadata) -> Stamp {
    Stamp::File { modified: metadata.modified().ok(), bytes: metadata.len() }
}
