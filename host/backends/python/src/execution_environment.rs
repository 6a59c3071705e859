//! `EXECUTION_ENV_PATH`: the folder of a virtual or conda environment, or a packed one.
//!
//! A packed environment (`tar.gz`, as conda-pack writes it) is unpacked into a folder of the server's own, once for all that use
//! it, and gone with the last of them; the one used last stays until there is another. Refused are entries and links that lead out of it, devices, and more than a limit of
//! bytes or entries: an archive comes with a model, and may be anybody's.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::{Component, Path, PathBuf},
    sync::{Arc, Weak},
    time::SystemTime,
};

use flate2::read::MultiGzDecoder;
use nereid_inference::{InferError, ModelConfig};
use parking_lot::Mutex;
use tar::{Archive, Entry, EntryType};
use tempfile::TempDir;

use crate::launch::private_folder;

/// The parameter, as Triton names it.
const PARAMETER: &str = "EXECUTION_ENV_PATH";
const MODEL_DIRECTORY: &str = "$$TRITON_MODEL_DIRECTORY";

/// Unpacked; torch with CUDA and its friends are about 10 GiB.
const BYTES_MAX: u64 = 32 * 1024 * 1024 * 1024;

/// Files, folders and links.
const ENTRIES_MAX: u64 = 1_000_000;

/// Environments that are unpacked, by file and what was seen of it.
#[derive(Debug, Default)]
pub(crate) struct Environments(Mutex<Unpacked>);

#[derive(Debug, Default)]
struct Unpacked {
    folders: HashMap<(PathBuf, SystemTime, u64), Weak<TempDir>>,
    /// The one used last stays: between the completion of a configuration and the load nobody else has it.
    latest: Option<Arc<TempDir>>,
}

/// Where a model's interpreter is.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) folder: PathBuf,
    /// Keeps what was unpacked.
    pub(crate) _unpacked: Option<Arc<TempDir>>,
}

// === impl Environments ===

impl Environments {
    /// The environment that a model names, or else the one that its backend brings. Unpacking takes as long as it takes; blocks.
    ///
    /// # Errors
    /// There is no such environment, or it cannot be unpacked.
    pub(crate) fn of_model(
        &self,
        config: &ModelConfig,
        model_directory: &Path,
        of_backend: Option<PathBuf>,
    ) -> Result<Option<Environment>, InferError> {
        let written = config.parameter(PARAMETER).filter(|written| !written.is_empty());
        let named = written.map(|written| written.replace(MODEL_DIRECTORY, &model_directory.to_string_lossy()).into());
        let Some(path) = named.or(of_backend) else { return Ok(None) };
        let refuse = |problem: &dyn std::fmt::Display| {
            let model = &config.name;
            InferError::invalid_argument(format!("model '{model}': {PARAMETER} is '{}': {problem}", path.display()))
        };
        let found = path.metadata().map_err(|error| refuse(&error))?;
        if found.is_dir() {
            let folder = std::path::absolute(&path).map_err(|error| refuse(&error))?;
            return Ok(Some(Environment { folder, _unpacked: None }));
        }
        let key = (path.clone(), found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len());
        // Held while it is unpacked: models that share an environment wait for one unpacking.
        let mut unpacked = self.0.lock();
        unpacked.folders.retain(|_, folder| folder.strong_count() > 0);
        let folder = match unpacked.folders.get(&key).and_then(Weak::upgrade) {
            Some(folder) => folder,
            None => {
                let folder = Arc::new(unpack_file(&path).map_err(|error| refuse(&error))?);
                unpacked.folders.insert(key, Arc::downgrade(&folder));
                folder
            }
        };
        unpacked.latest = Some(folder.clone());
        Ok(Some(Environment { folder: folder.path().to_owned(), _unpacked: Some(folder) }))
    }
}

// === impl Environment ===

impl Environment {
    /// The interpreter in it.
    pub(crate) fn interpreter(&self) -> PathBuf {
        let bin = self.folder.join("bin");
        let candidates = ["python3", "python"].map(|name| bin.join(name));
        candidates.iter().find(|path| path.exists()).unwrap_or(&bin).clone()
    }
}

fn unpack_file(path: &Path) -> io::Result<TempDir> {
    let folder = private_folder("nereid-python-env-")?;
    let file = BufReader::new(File::open(path)?);
    unpack(MultiGzDecoder::new(file), folder.path(), BYTES_MAX, ENTRIES_MAX)?;
    tracing::info!("unpacked '{}' into {}", path.display(), folder.path().display());
    Ok(folder)
}

/// Unpacks an archive into a folder, and nothing anywhere else.
fn unpack(archive: impl Read, folder: &Path, bytes_max: u64, entries_max: u64) -> io::Result<()> {
    let mut archive = Archive::new(archive.take(bytes_max));
    archive.set_preserve_permissions(true);
    let (mut bytes, mut entries) = (0_u64, 0_u64);
    for entry in archive.entries()? {
        let mut entry = entry?;
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if entries > entries_max || bytes > bytes_max {
            return Err(refused(format!("it has more than {entries_max} entries or {bytes_max} bytes")));
        }
        check(&entry)?;
        if !entry.unpack_in(folder)? {
            return Err(refused(format!("'{}' leads out of it", entry.path()?.display())));
        }
    }
    Ok(())
}

fn check<R: Read>(entry: &Entry<'_, R>) -> io::Result<()> {
    let path = entry.path()?;
    let kind = entry.header().entry_type();
    let leads_out = || refused(format!("'{}' leads out of it", path.display()));
    let depth = depth(&path, 0).ok_or_else(leads_out)?;
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Directory => Ok(()),
        EntryType::XGlobalHeader => Ok(()),
        EntryType::Symlink | EntryType::Link => {
            let target = entry.link_name()?.ok_or_else(leads_out)?;
            // A symbolic link starts at its own folder, a hard link at the top.
            let start = if kind == EntryType::Symlink { depth - 1 } else { 0 };
            self::depth(&target, start).map(drop).ok_or_else(leads_out)
        }
        _ => Err(refused(format!("'{}' is neither a file, a folder nor a link", path.display()))),
    }
}

/// How deep a path leads that starts at this depth; `None` when it leaves the top on its way.
fn depth(path: &Path, start: i64) -> Option<i64> {
    path.components().try_fold(start, |depth, component| match component {
        Component::Normal(_) => Some(depth + 1),
        Component::CurDir => Some(depth),
        Component::ParentDir => Some(depth - 1).filter(|depth| *depth >= 0),
        Component::RootDir | Component::Prefix(_) => None,
    })
}

fn refused(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o755);
        header
    }

    /// An archive of one entry, of a name that no builder writes.
    fn archive(kind: EntryType, name: &str, target: &str, content: &[u8]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let mut header = header(kind, content.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, content).unwrap();
        builder.into_inner().unwrap()
    }

    fn check_refused(archive: &[u8], expected: &str) {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("env");
        std::fs::create_dir(&folder).unwrap();
        let error = unpack(archive, &folder, 1000, 10).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_leads_out_is_refused() {
        check_refused(&archive(EntryType::Regular, "../evil", "", b"x"), "'../evil' leads out of it");
        check_refused(&archive(EntryType::Regular, "a/../../evil", "", b"x"), "leads out of it");
        check_refused(&archive(EntryType::Regular, "/tmp/evil", "", b"x"), "'/tmp/evil' leads out of it");
        check_refused(&archive(EntryType::Symlink, "bin/python", "../../evil", b""), "'bin/python' leads out of it");
        check_refused(&archive(EntryType::Symlink, "passwd", "/etc/passwd", b""), "'passwd' leads out of it");
        check_refused(&archive(EntryType::Link, "a/b", "../x", b""), "'a/b' leads out of it");
        check_refused(&archive(EntryType::Fifo, "pipe", "", b""), "neither a file, a folder nor a link");
        check_refused(&archive(EntryType::Regular, "large", "", &[0; 2000]), "more than 10 entries or 1000 bytes");
        check_refused(b"this is no archive at all, however long it may be", "");
    }

    #[test]
    fn what_stays_inside_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = Builder::new(Vec::new());
        builder.append_data(&mut header(EntryType::Regular, 2), "lib/real", b"hi".as_slice()).unwrap();
        builder.append_link(&mut header(EntryType::Symlink, 0), "bin/python", "../lib/real").unwrap();
        unpack(builder.into_inner().unwrap().as_slice(), folder.path(), 10_000, 10).unwrap();
        assert_eq!(std::fs::read(folder.path().join("bin/python")).unwrap(), b"hi");
    }
}
