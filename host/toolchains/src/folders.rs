//! Folders and the files in them, with errors that name them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::Failure;

/// Makes it, and those above it.
///
/// # Errors
/// It cannot be made.
pub fn create_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(Failure::io(format_args!("create {}", folder.display())))
}

/// The entries of a folder in the order of their names.
///
/// # Errors
/// It cannot be listed.
pub fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(Failure::io(format_args!("list {}", folder.display())))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    Ok(paths)
}

/// The one file of `folder` whose name begins and ends so: wheels and packages carry their version in between.
///
/// # Errors
/// There is none.
pub fn find_file(folder: &Path, prefix: &str, suffix: &str) -> Result<PathBuf, Failure> {
    let is_match = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
    };
    let found = list_folder(folder)?.into_iter().find(is_match);
    found.ok_or_else(|| Failure::new(format!("no file {prefix}*{suffix} in {}", folder.display())))
}

/// Copies what is in a folder, folders too where `wants` says so of their name.
///
/// # Errors
/// Something cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path, wants: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
    create_folder(to)?;
    for path in list_folder(from)? {
        let name = path.file_name().unwrap_or_default();
        let target = to.join(name);
        if !path.is_dir() {
            fs::copy(&path, target).map_err(Failure::io(format_args!("copy {}", path.display())))?;
        } else if name.to_str().is_some_and(wants) {
            copy_folder(&path, &target, wants)?;
        }
    }
    Ok(())
}
