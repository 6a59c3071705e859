//! Folders in the system's temporary folder for what agents make, and what became of those of servers that were killed.
//!
//! Promises: a server's folder has a file that it holds locked for as long as it lives, whatever ends it; only folders of this name that
//! are the same user's, and whose lock nobody holds, are removed. Process numbers would not do: two containers can share the
//! temporary folder, and do not see each other's.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use tempfile::TempDir;

/// How the folders' names begin.
const PREFIX: &str = "nereid-agents-";

/// The file that is locked.
const LOCK: &str = ".lock";

/// What it is called until it is locked, so that nobody finds it free.
const LOCK_TO_BE: &str = ".lock.new";

/// The folder of this server; removed with the last holder.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

// === impl Scratch ===

impl Scratch {
    /// Makes the folder in `parent`, and removes those there that nobody holds any more.
    pub(crate) fn make(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let to_be = folder.path().join(LOCK_TO_BE);
        let lock = File::create_new(&to_be)?;
        lock.lock()?;
        fs::rename(to_be, folder.path().join(LOCK))?;
        let scratch = Self { folder, _lock: lock };
        scratch.remove_abandoned(parent)?;
        Ok(scratch)
    }

    /// An empty folder inside.
    pub(crate) fn folder(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("made-").tempdir_in(self.folder.path())
    }

    fn remove_abandoned(&self, parent: &Path) -> io::Result<()> {
        let own_user = fs::metadata(self.folder.path())?.uid();
        for entry in fs::read_dir(parent)?.filter_map(Result::ok) {
            let is_named_so = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
            let is_ours = || entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own_user);
            if !is_named_so || !is_ours() {
                continue;
            }
            let path = entry.path();
            let is_free = File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
            if !is_free {
                continue;
            }
            match fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!("'{}' is removed: the server that made it is gone", path.display()),
                Err(error) => {
                    tracing::warn!("'{}' of a server that is gone cannot be removed: {error}", path.display())
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_killed_server_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::make(parent.path()).unwrap();
        let made = living.folder().unwrap();
        let put = |inside: &str| {
            let path = parent.path().join(inside);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("model.onnx"), "decrypted").unwrap();
            path
        };
        let killed = put("nereid-agents-killed");
        File::create_new(killed.join(LOCK)).unwrap();
        let (begins, others) = (put("nereid-agents-begins"), put("somebody-elses"));
        File::create_new(begins.join(LOCK_TO_BE)).unwrap();
        File::create_new(others.join(LOCK)).unwrap();
        symlink(&others, parent.path().join("nereid-agents-link")).unwrap();
        let next = Scratch::make(parent.path()).unwrap();
        assert!(!killed.exists());
        assert!(made.path().is_dir() && begins.is_dir() && others.join("model.onnx").is_file());
        let folder = next.folder.path().to_owned();
        drop(next);
        assert!(!folder.exists() && made.path().is_dir());
    }
}
