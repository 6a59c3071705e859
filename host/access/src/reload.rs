//! Values that are read from files and follow them.
//!
//! A change is seen by the files' stamps (time, size, inode), so that looking costs a few system calls. What cannot be
//! used leaves the old value in place and is told once per change; the stamps are taken before the files are read, so
//! that what is written in between is seen by the next look.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// Largest file of keys or certificates, in bytes: thousands of entries; what is larger is some other file.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Something that follows files.
pub trait Reload: Send + Sync {
    /// What it is, for the log: `API keys of 'keys.toml'`.
    fn name(&self) -> &str;

    /// The file that it is made of, or the first of several.
    fn path(&self) -> &Path;

    /// Looks whether the files have changed, and takes them over when they have. `forced` reads them in any case.
    fn look(&self, forced: bool) -> Look;
}

/// What a look at the files has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Unchanged,
    Renewed,
    /// The new content cannot be used, for this reason; the old one stays.
    Refused(String),
}

/// A value made of files, or what reading them has done.
pub struct Followed<T, E> {
    name: String,
    files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<T, E> + Send + Sync>,
    current: ArcSwap<T>,
    seen: Mutex<Vec<Option<Stamp>>>,
}

/// Differs when a file was written or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    inode: (u64, u64),
    length_bytes: u64,
}

// === impl Followed ===

impl<T, E: fmt::Display> Followed<T, E> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// What `read` says.
    pub fn new(
        name: String,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let seen = Mutex::new(stamps(&files));
        let current = ArcSwap::from_pointee(read()?);
        Ok(Self { name, files, read: Box::new(read), current, seen })
    }

    pub(crate) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// As [`Followed::current`], for a short look: costs no reference count.
    pub(crate) fn peek(&self) -> arc_swap::Guard<Arc<T>> {
        self.current.load()
    }
}

impl<T: Send + Sync, E: fmt::Display> Reload for Followed<T, E> {
    fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), PathBuf::as_path)
    }

    fn look(&self, forced: bool) -> Look {
        let now = stamps(&self.files);
        // Held over the reading: two looks at one time must not put the older content over the newer one.
        let mut seen = self.seen.lock();
        if *seen == now && !forced {
            return Look::Unchanged;
        }
        *seen = now;
        match (self.read)() {
            Ok(value) => {
                self.current.store(Arc::new(value));
                Look::Renewed
            }
            Err(error) => Look::Refused(error.to_string()),
        }
    }
}

impl<T, E> fmt::Debug for Followed<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Followed").field(&self.name).finish()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| fs::metadata(file).ok().map(|metadata| Stamp::of(&metadata))).collect()
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: (metadata.dev(), metadata.ino()),
            length_bytes: metadata.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a number.
    fn follow(path: PathBuf) -> Result<Followed<u32, String>, String> {
        Followed::new("number".to_owned(), vec![path.clone()], move || {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            text.parse().map_err(|_| format!("'{text}' is no number"))
        })
    }

    #[test]
    fn a_value_follows_its_file_and_keeps_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        assert!(follow(path.clone()).is_err());
        fs::write(&path, "1").unwrap();
        let number = follow(path.clone()).unwrap();
        assert_eq!((number.look(false), *number.current()), (Look::Unchanged, 1));
        fs::write(&path, "22").unwrap();
        assert_eq!((number.look(false), *number.current()), (Look::Renewed, 22));
        fs::write(&path, "x").unwrap();
        assert_eq!(number.look(false), Look::Refused("'x' is no number".to_owned()));
        assert_eq!((number.look(false), **number.peek()), (Look::Unchanged, 22));
        fs::remove_file(&path).unwrap();
        assert!(matches!(number.look(false), Look::Refused(_)));
        assert_eq!(*number.current(), 22);
        fs::write(&path, "3").unwrap();
        assert_eq!((number.look(false), *number.current()), (Look::Renewed, 3));
    }

    #[test]
    fn a_forced_look_reads_what_has_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "1").unwrap();
        assert_eq!(follow(path).unwrap().look(true), Look::Renewed);
    }
}
