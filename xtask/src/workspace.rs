//! Where things lie in the repository: every path that xtask uses, once.

use std::path::{Path, PathBuf};

use nereid_toolchains::Home;

pub(crate) use nereid_toolchains::folders::{create_folder, find_file, list_folder};

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

    /// The folder of all that.
    pub(crate) fn home(&self) -> Home {
        Home::new(self.root.join(".nereid"))
    }

    /// An empty folder for a download, below `.nereid/`, on the same file system as its destination.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        self.home().scratch(name)
    }
}
