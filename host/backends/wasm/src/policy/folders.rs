//! Folders: opened here, so that what is compared with the operator's list is what the plugin gets.

use std::path::{Component, Path, PathBuf};

use nereid_inference::ModelSource;
use nereid_plugin::FolderGrant;

use super::{Ceiling, Denied};
use crate::plugin_file::FolderEntry;

/// Folders of one plugin; each is an open file per guest that uses WASI.
const FOLDERS_MAX: usize = 16;

/// A folder that plugins may be granted, or folders inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedFolder {
    pub path: PathBuf,
    pub write: bool,
}

// === impl Ceiling ===

impl Ceiling {
    fn allows_folder(&self, real: &Path, write: bool) -> bool {
        self.folders.iter().any(|allowed| {
            let inside = allowed.path.canonicalize().is_ok_and(|allowed| real.starts_with(allowed));
            inside && (allowed.write || !write)
        })
    }
}

/// What is granted of what is asked for.
pub(super) fn grants(
    source: &ModelSource,
    asked: Vec<FolderEntry>,
    ceilings: &[&Ceiling],
    denied: &mut Denied,
) -> Vec<FolderGrant> {
    if asked.len() > FOLDERS_MAX {
        denied.push("files", &format!("{} folders, {FOLDERS_MAX} are the most", asked.len()));
        return Vec::new();
    }
    let mut folders: Vec<FolderGrant> = Vec::new();
    for entry in asked {
        let what = format!("files '{}'", entry.path);
        let taken = folders.iter().any(|folder| folder.guest_path == entry.at);
        let granted = match taken {
            true => Err(format!("there are two folders at '{}'", entry.at)),
            false => folder_grant(source, entry, ceilings),
        };
        match granted {
            Ok(folder) => folders.push(folder),
            Err(problem) => denied.push(&what, &problem),
        }
    }
    folders
}

fn folder_grant(source: &ModelSource, entry: FolderEntry, ceilings: &[&Ceiling]) -> Result<FolderGrant, String> {
    if !is_guest_path(&entry.at) {
        return Err(format!("at = '{}' must be a path like '/lookup', without '.' and '..'", entry.at));
    }
    let path = source.version_directory.join(&entry.path);
    let failed = |error| format!("'{}' cannot be opened: {error}", path.display());
    // Links are followed here, so that what is compared is what is opened.
    let real = path.canonicalize().map_err(failed)?;
    if !real.is_dir() {
        return Err(format!("'{}' is no folder", path.display()));
    }
    let own = source.version_directory.canonicalize().is_ok_and(|own| real.starts_with(own));
    if own && entry.write {
        return Err("a model's own directory is for reading: keep what is written elsewhere".to_owned());
    }
    if !own && !ceilings.iter().all(|ceiling| ceiling.allows_folder(&real, entry.write)) {
        let how = if entry.write { "written" } else { "read" };
        return Err(format!(
            "it is outside the model's own version directory, and the operator does not let it be {how} \
             ([[plugins.grants.files]] in nereid.toml)"
        ));
    }
    FolderGrant::open(entry.at, real, entry.write).map_err(failed)
}

fn is_guest_path(path: &str) -> bool {
    let mut components = Path::new(path).components();
    let plain =
        components.next() == Some(Component::RootDir) && components.all(|part| matches!(part, Component::Normal(_)));
    plain && !path.contains('\0') && (path.len() == 1 || !path.ends_with('/'))
}
