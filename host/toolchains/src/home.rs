//! The folder that everything fetched lies in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Failure, folders::create_folder};

/// `.nereid` of a checkout, or a folder of the user's. Safe to delete: what is missing is fetched again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    folder: PathBuf,
}

// === impl Home ===

impl Home {
    /// Touches nothing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Something in it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.join(relative)
    }

    /// How a path is shown to a person: from the folder's parent down.
    pub fn show(&self, path: &Path) -> String {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        path.strip_prefix(parent).unwrap_or(path).display().to_string()
    }

    /// An empty folder for a download, on the same file system as its destination.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.path("scratch").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Failure::io(format_args!("empty {}", folder.display())))?;
        }
        create_folder(&folder)?;
        Ok(folder)
    }
}
