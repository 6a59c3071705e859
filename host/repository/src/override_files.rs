//! Files that a client sent in place of a model's directory, in a directory of their own that goes with the last user.
//!
//! Promises: a path that the client wrote is used through the directory's handle alone, so that nothing outside is read,
//! written or made, whatever the path says. Refuses paths that are absolute or lead up, and whatever is beyond a limit.
//! Costs the bytes on disk, in the system's folder for temporary files, readable by the server's user alone.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Component, Path},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use nereid_inference::InferError;
use tempfile::TempDir;

use crate::RepositoryLimits;

/// Bytes of one path: a quarter of what Linux takes, the rest is for the folder for temporary files.
const PATH_BYTES_MAX: usize = 1_024;

/// Nobody but the server's user may read them.
const DIRECTORY_MODE: u32 = 0o700;

/// A directory of a client's files; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct OverrideFiles {
    directory: TempDir,
    _claim: Claim,
}

/// How many bytes such directories hold.
#[derive(Debug, Default)]
pub(crate) struct OverrideUse(AtomicU64);

/// Bytes counted until this is dropped.
#[derive(Debug)]
struct Claim {
    used: Arc<OverrideUse>,
    bytes: u64,
}

// === impl OverrideFiles ===

impl OverrideFiles {
    /// Writes the files.
    ///
    /// # Errors
    /// A path that is not allowed, a limit, or the disk.
    pub(crate) fn write(
        files: &BTreeMap<String, Bytes>,
        used: &Arc<OverrideUse>,
        limits: &RepositoryLimits,
    ) -> Result<Self, InferError> {
        let files_max = limits.override_files_max;
        if files.len() > files_max {
            return Err(beyond(format!("{} files, expected at most {files_max}", files.len())));
        }
        let claim = Claim::take(used, files.values().map(|content| content.len() as u64).sum(), limits)?;
        let unwritable = |error: io::Error| {
            let text = format!("cannot make a directory for the files of the load: {error}");
            InferError::internal(text).with_source(error)
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix("nereid-model-").permissions(Permissions::from_mode(DIRECTORY_MODE));
        let directory = builder.tempdir().map_err(unwritable)?;
        let root = Dir::open_ambient_dir(directory.path(), ambient_authority()).map_err(unwritable)?;
        for (path, content) in files {
            write_file(&root, path, content, limits)?;
        }
        Ok(Self { directory, _claim: claim })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn write_file(root: &Dir, path: &str, content: &[u8], limits: &RepositoryLimits) -> Result<(), InferError> {
    let relative = checked(path, limits.override_path_parts_max)?;
    let refused = |error: &io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => InferError::invalid_argument(format!(
            "Invalid file parameter 'file:{path}', a file or directory of that name has been created already"
        )),
        _ => InferError::internal(format!("cannot write file parameter 'file:{path}': {error}")),
    };
    if let Some(parent) = relative.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        root.create_dir_all(parent).map_err(|error| refused(&error))?;
    }
    let mut file =
        root.open_with(relative, OpenOptions::new().write(true).create_new(true)).map_err(|error| refused(&error))?;
    file.write_all(content).map_err(|error| refused(&error))
}

/// The path as the client wrote it, when it names a file below the model's directory. The handle would refuse the rest
/// too, in words that help nobody.
fn checked(path: &str, parts_max: usize) -> Result<&Path, InferError> {
    let invalid = |why: &str| {
        let shown: String = path.chars().take(PATH_BYTES_MAX).collect();
        InferError::invalid_argument(format!(
            "Invalid file parameter 'file:{shown}' {why}: expected 'file:<version>/<path>', for example \
             'file:1/model.onnx'"
        ))
    };
    if path.len() > PATH_BYTES_MAX {
        return Err(invalid(&format!("has {} bytes, at most {PATH_BYTES_MAX} are allowed", path.len())));
    }
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return Err(invalid("names no file"));
    }
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(invalid("must stay within model directory"));
    }
    let parts = relative.components().count();
    if parts > parts_max {
        return Err(invalid(&format!("has {parts} parts, at most {parts_max} are allowed")));
    }
    Ok(relative)
}

fn beyond(what: String) -> InferError {
    InferError::resource_exhausted(format!("the load request carries {what}"))
}

// === impl Claim ===

impl Claim {
    fn take(used: &Arc<OverrideUse>, bytes: u64, limits: &RepositoryLimits) -> Result<Self, InferError> {
        let (load_max, server_max) = (limits.override_bytes_max as u64, limits.override_bytes_total_max as u64);
        if bytes > load_max {
            return Err(beyond(format!("files of {bytes} bytes, expected at most {load_max}")));
        }
        let fits = |now: u64| now.checked_add(bytes).filter(|sum| *sum <= server_max);
        if let Err(now) = used.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            return Err(beyond(format!(
                "files of {bytes} bytes; with the {now} bytes of other models that would be more than \
                 {server_max}; unload some"
            )));
        }
        Ok(Self { used: used.clone(), bytes })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.used.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nereid_inference::ErrorKind;

    use super::*;

    fn write(paths: &[&str]) -> Result<OverrideFiles, InferError> {
        let files = paths.iter().map(|path| ((*path).to_owned(), Bytes::from((*path).to_owned()))).collect();
        OverrideFiles::write(&files, &Arc::default(), &RepositoryLimits::default())
    }

    #[track_caller]
    fn check_refused(paths: &[&str], expected: &str) {
        let error = write(paths).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn files_lie_where_they_are_named_and_go_with_the_last_user() {
        let files = write(&["1/model.onnx", "2/deep/er/weights", "./labels.txt"]).unwrap();
        let path = files.path().to_owned();
        assert_eq!(fs::read(path.join("2/deep/er/weights")).unwrap(), b"2/deep/er/weights");
        assert!(path.join("labels.txt").is_file());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, DIRECTORY_MODE);
        drop(files);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_never_leaves_the_directory() {
        let stays = "must stay within model directory";
        for path in ["..", "../x", "1/../../x", "/etc/passwd", "1/..", "./../x"] {
            check_refused(&["1/ok", path], stays);
        }
        for path in ["", "1/", "a\0b"] {
            check_refused(&[path], "names no file");
        }
        check_refused(&["a/b/c/d/e/f/g/h/i"], "has 9 parts");
        check_refused(&[&"x".repeat(2_000)], "has 2000 bytes");
    }

    #[test]
    fn a_link_in_the_directory_does_not_lead_out_of_it() {
        let outside = tempfile::tempdir().unwrap();
        let files = write(&["1/x"]).unwrap();
        std::os::unix::fs::symlink(outside.path(), files.path().join("2")).unwrap();
        let root = Dir::open_ambient_dir(files.path(), ambient_authority()).unwrap();
        assert!(write_file(&root, "2/escaped", b"no", &RepositoryLimits::default()).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_name_is_one_file() {
        check_refused(&["1", "1/model.onnx"], "has been created already");
        check_refused(&["1/model.onnx", "./1/model.onnx"], "has been created already");
    }

    #[test]
    fn limits_are_refused_before_anything_is_written_and_bytes_come_back() {
        let limits = RepositoryLimits {
            override_files_max: 2,
            override_bytes_max: 10,
            override_bytes_total_max: 15,
            ..RepositoryLimits::default()
        };
        let used = Arc::new(OverrideUse::default());
        let first = Claim::take(&used, 10, &limits).unwrap();
        let text = "the load request carries files of 6 bytes; with the 10 bytes of other models";
        let error = Claim::take(&used, 6, &limits).unwrap_err();
        assert!(error.message().starts_with(text), "{error}");
        let second = Claim::take(&used, 5, &limits).unwrap();
        drop((first, second));
        assert!(Claim::take(&used, 11, &limits).is_err());
        assert_eq!(used.0.load(Ordering::Acquire), 0);
        let many = (0..3).map(|index| (format!("1/{index}"), Bytes::new())).collect();
        let error = OverrideFiles::write(&many, &used, &limits).unwrap_err();
        assert_eq!(error.message(), "the load request carries 3 files, expected at most 2");
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    }
}
