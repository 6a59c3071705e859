//! Where things lie in the repository: every path that xtask uses, once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// The repository that this xtask was built from.
pub(crate) struct Workspace {
    root: PathBuf,
}

// === impl Workspace ===

impl Workspace {
    /// `cargo run` tells where the package lies; its parent is the repository.
    pub(crate) fn find() -> Result<Self, Failure> {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .ok_or_else(|| Failure::new("CARGO_MANIFEST_DIR is not set: run this as `cargo xtask`"))?;
        let root = Path::new(&manifest_dir).parent().map(Path::to_path_buf);
        root.map(|root| Self { root }).ok_or_else(|| Failure::new("xtask has no parent folder"))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// What xtask fetched: ignored by git, safe to delete, fetched again when needed.
    pub(crate) fn fetched(&self, relative: &str) -> PathBuf {
        self.root.join(".nereid").join(relative)
    }

    /// How a path is shown to a person: from the repository down.
    pub(crate) fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// An empty folder for a download, below `.nereid/`, on the same file system as its destination.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.fetched("scratch").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Failure::io(format_args!("empty {}", folder.display())))?;
        }
        create_folder(&folder)?;
        Ok(folder)
    }
}

pub(crate) fn create_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(Failure::io(format_args!("create {}", folder.display())))
}

/// The entries of a folder in the order of their names.
pub(crate) fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(Failure::io(format_args!("list {}", folder.display())))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    Ok(paths)
}

/// The one file of `folder` whose name begins and ends so: wheels and packages carry their version in between.
pub(crate) fn find_file(folder: &Path, prefix: &str, suffix: &str) -> Result<PathBuf, Failure> {
    let is_match = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
    };
    let found = list_folder(folder)?.into_iter().find(is_match);
    found.ok_or_else(|| Failure::new(format!("no file {prefix}*{suffix} in {}", folder.display())))
}
