//! Compiled plugins on disk, by content.
//!
//! Machine code is executed as it is read, so a file counts only when it is what this server wrote: the directory belongs to
//! the server's user and to nobody else, files appear whole (written aside, then renamed), and each begins with a seal over its
//! name and what follows, made with a key that lies outside the directory ([`crate::seal_key`]). A file that fails any of this is as
//! good as none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use crate::{failure::PluginError, seal_key::SealKey};

/// What all artefacts together may occupy; the longest unused go first. A Rust plugin takes 0.2 MB, a Python one 35 MB.
pub const ARTEFACT_BYTES_MAX: u64 = 4 << 30;

/// The first bytes of every file; the number is that of this layout.
const MAGIC: &[u8; 16] = b"nereid cwasm  2\n";

/// Group and others may not write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A directory of compiled plugins.
#[derive(Debug)]
pub struct ArtefactCache {
    directory: PathBuf,
    owner: u32,
    key: SealKey,
}

// === impl ArtefactCache ===

impl ArtefactCache {
    /// Opens the directory, or makes it readable for this user alone. The key lies in `key_file`, beside the directory unless that
    /// is given; where none can be kept, what is stored now is not found after this process.
    ///
    /// # Errors
    /// It cannot be made or written to, or others can write to it.
    pub fn open(directory: PathBuf, key_file: Option<PathBuf>) -> Result<Self, PluginError> {
        let unusable = |reason: String| PluginError::Cache { directory: directory.display().to_string(), reason };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| unusable(error.to_string()))?;
        let metadata = fs::metadata(&directory).map_err(|error| unusable(error.to_string()))?;
        if metadata.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
            let text = "others may write to it, and what is in it is executed; run chmod 700 on it, or name another";
            return Err(unusable(text.to_owned()));
        }
        // A file of our own tells who we are without asking the system.
        let probe = aside(&directory);
        let written = File::create_new(&probe).and_then(|file| file.metadata());
        let _ = fs::remove_file(&probe);
        let owner = written.map_err(|error| unusable(error.to_string()))?.uid();
        if metadata.uid() != owner {
            return Err(unusable(format!("it belongs to user {}, not to this server's user {owner}", metadata.uid())));
        }
        let key_file = key_file.unwrap_or_else(|| beside(&directory));
        let key = SealKey::open(&key_file, owner).unwrap_or_else(|problem| {
            tracing::warn!(
                "plugins are compiled again at the next start: the key of the plugin cache '{}' {problem}",
                key_file.display()
            );
            SealKey::random()
        });
        Ok(Self { directory, owner, key })
    }

    /// The artefact under `key`, when there is a sound one.
    pub(crate) fn load(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key);
        let metadata = fs::symlink_metadata(&path).ok()?;
        let ours = metadata.is_file()
            && metadata.uid() == self.owner
            && metadata.permissions().mode() & WRITABLE_BY_OTHERS == 0;
        let artefact = if ours { fs::read(&path).ok().and_then(|file| self.unsealed(key, file)) } else { None };
        if artefact.is_none() {
            tracing::warn!("'{}' is not what this server wrote; the plugin is compiled again", path.display());
            let _ = fs::remove_file(&path);
            return None;
        }
        // Marks it as used; only the order of eviction depends on it.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        artefact
    }

    /// Keeps `artefact` under `key`.
    ///
    /// # Errors
    /// A sentence on what failed.
    pub(crate) fn store(&self, key: &str, artefact: &[u8]) -> Result<(), String> {
        let (path, aside) = (self.path(key), aside(&self.directory));
        let written = self.write_sealed(&aside, key, artefact).and_then(|()| fs::rename(&aside, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&aside);
            return Err(format!("'{}' cannot be written: {error}", path.display()));
        }
        self.evict(ARTEFACT_BYTES_MAX);
        Ok(())
    }

    /// Removes the longest unused artefacts until the rest fits.
    fn evict(&self, bytes_max: u64) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "cwasm"))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if total <= bytes_max {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total -= length;
            }
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.cwasm"))
    }

    fn write_sealed(&self, path: &Path, key: &str, artefact: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(MAGIC)?;
        file.write_all(self.key.seal(key, artefact).as_bytes())?;
        file.write_all(artefact)?;
        file.sync_all()
    }

    /// The artefact without its seal, when the seal holds for this name.
    fn unsealed(&self, key: &str, mut file: Vec<u8>) -> Option<Vec<u8>> {
        let (seal, artefact) = file.strip_prefix(MAGIC)?.split_at_checked(blake3::OUT_LEN)?;
        // Compared in constant time, as `blake3::Hash` does.
        if self.key.seal(key, artefact) != blake3::Hash::from_slice(seal).ok()? {
            return None;
        }
        file.drain(..MAGIC.len() + blake3::OUT_LEN);
        Some(file)
    }
}

/// Where the key of a directory lies: outside of it, so that who can write into the directory alone can forge nothing.
fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(".key");
    directory.with_file_name(name)
}

/// A name that no other writer uses.
fn aside(directory: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("{}-{number}.part", process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, ArtefactCache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = ArtefactCache::open(directory.path().join("cache"), None).unwrap();
        (directory, cache)
    }

    #[test]
    fn what_was_stored_is_found_and_nothing_else() {
        let (_directory, cache) = cache();
        cache.store("one", b"code").unwrap();
        assert_eq!(cache.load("one").as_deref(), Some(b"code".as_slice()));
        assert_eq!(cache.load("two"), None);
        let left: Vec<_> = fs::read_dir(&cache.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["one.cwasm"]);
    }

    #[test]
    fn every_flipped_byte_and_every_truncation_is_noticed() {
        let (_directory, cache) = cache();
        cache.store("one", b"some machine code").unwrap();
        let sound = fs::read(cache.path("one")).unwrap();
        for position in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[position] ^= 0x10;
            fs::write(cache.path("one"), &damaged).unwrap();
            assert_eq!(cache.load("one"), None, "byte {position}");
            fs::write(cache.path("one"), &sound[..position]).unwrap();
            assert_eq!(cache.load("one"), None, "length {position}");
        }
    }

    #[test]
    fn files_and_directories_that_others_may_write_are_refused() {
        let (directory, cache) = cache();
        assert_eq!(fs::metadata(&cache.directory).unwrap().permissions().mode() & 0o777, 0o700);
        cache.store("one", b"code").unwrap();
        fs::set_permissions(cache.path("one"), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.load("one"), None);
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let error = ArtefactCache::open(open, None).unwrap_err().to_string();
        assert!(error.contains("others may write to it"), "{error}");
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let (_directory, cache) = cache();
        for (name, age_seconds) in [("old", 20), ("older", 30), ("new", 10)] {
            cache.store(name, &[0; 100]).unwrap();
            let time = SystemTime::now() - std::time::Duration::from_secs(age_seconds);
            File::open(cache.path(name)).unwrap().set_modified(time).unwrap();
        }
        cache.evict(350);
        assert_eq!((cache.load("older"), cache.load("new").is_some()), (None, true));
    }

    #[test]
    fn what_was_sealed_without_the_key_is_not_loaded() {
        let (directory, cache) = cache();
        cache.store("one", b"code").unwrap();
        let forge = |seal: blake3::Hash, code: &[u8]| {
            fs::write(cache.path("one"), [MAGIC, seal.as_bytes().as_slice(), code].concat()).unwrap();
            cache.load("one")
        };
        assert_eq!(forge(blake3::hash(b"evil"), b"evil"), None);
        assert_eq!(forge(SealKey::random().seal("one", b"evil"), b"evil"), None);
        assert_eq!(forge(cache.key.seal("one", b"good"), b"good").as_deref(), Some(b"good".as_slice()));
        // What lies in the directory says nothing of the key.
        let names = fs::read_dir(&cache.directory).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["one.cwasm"]);
        assert!(directory.path().join("cache.key").is_file());
    }

    #[test]
    fn an_artefact_under_another_name_is_not_loaded() {
        let (_directory, cache) = cache();
        cache.store("mine", b"code").unwrap();
        fs::rename(cache.path("mine"), cache.path("yours")).unwrap();
        assert_eq!(cache.load("yours"), None);
    }

    #[test]
    fn the_next_start_has_the_same_key_and_another_server_another() {
        let (directory, cache) = cache();
        cache.store("one", b"code").unwrap();
        let open = |key_file: Option<PathBuf>| ArtefactCache::open(directory.path().join("cache"), key_file).unwrap();
        assert!(open(None).load("one").is_some());
        assert_eq!(open(Some(directory.path().join("other.key"))).load("one"), None);
    }

    #[test]
    fn where_no_key_can_be_kept_the_cache_serves_one_process() {
        let (directory, _cache) = cache();
        let nowhere = || Some(directory.path().join("nowhere/at/all.key"));
        let here = ArtefactCache::open(directory.path().join("cache"), nowhere()).unwrap();
        here.store("one", b"code").unwrap();
        assert!(here.load("one").is_some());
        let next = ArtefactCache::open(directory.path().join("cache"), nowhere()).unwrap();
        assert_eq!(next.load("one"), None);
    }
}
