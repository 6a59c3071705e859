//! The key that compiled plugins are sealed with: 32 random bytes in a file that this server's user alone can read.
//!
//! Whoever can write into the cache and cannot read the key can make no file that is executed. The key is made once and appears whole;
//! of two servers that begin at the same time, one takes the other's.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    process,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Readable for its owner alone.
const READABLE_BY_OTHERS: u32 = 0o077;

/// See the file's head.
pub(crate) struct SealKey([u8; blake3::KEY_LEN]);

// === impl SealKey ===

impl SealKey {
    /// One that nobody else has.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; blake3::KEY_LEN];
        StdRng::from_rng(&mut rand::rng()).fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The key in the file, or a new one that is kept there.
    ///
    /// # Errors
    /// A sentence's end: what is wrong with the file.
    pub(crate) fn open(path: &Path, owner: u32) -> Result<Self, String> {
        match Self::read(path, owner)? {
            Some(key) => Ok(key),
            None => {
                let made = Self::random().keep(path).map_err(|error| format!("cannot be made: {error}"));
                made.and_then(|()| Self::read(path, owner)?.ok_or_else(|| "is gone again".to_owned()))
            }
        }
    }

    /// Over a name and what it stands for.
    pub(crate) fn seal(&self, name: &str, content: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(content);
        hasher.finalize()
    }

    fn read(path: &Path, owner: u32) -> Result<Option<Self>, String> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot be read: {error}")),
            Ok(metadata) => metadata,
        };
        if !metadata.is_file() || metadata.uid() != owner {
            return Err("is no file of this server's user; remove it".to_owned());
        }
        if metadata.permissions().mode() & READABLE_BY_OTHERS != 0 {
            return Err("can be read by others; remove it, or run chmod 600 on it if nobody has".to_owned());
        }
        let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        let key = bytes.try_into().map_err(|_| format!("is no key of {} bytes; remove it", blake3::KEY_LEN))?;
        Ok(Some(Self(key)))
    }

    /// Writes it where nothing is yet; what is there by then stays.
    fn keep(&self, path: &Path) -> io::Result<()> {
        let aside = path.with_extension(format!("{}.part", process::id()));
        let _ = fs::remove_file(&aside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        let linked = file.write_all(&self.0).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&aside, path));
        let _ = fs::remove_file(&aside);
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }
}

/// Shows nothing.
impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(folder: &Path) -> u32 {
        fs::metadata(folder).unwrap().uid()
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, owner) = (folder.path().join("key"), owner(folder.path()));
        let first = SealKey::open(&path, owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SealKey::open(&path, owner).unwrap().0, first.0);
        assert_ne!(SealKey::random().0, first.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_are_no_keys_are_named_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let (path, owner) = (folder.path().join("key"), owner(folder.path()));
        fs::write(&path, [7; blake3::KEY_LEN]).unwrap();
        let problem = |owner| SealKey::open(&path, owner).err().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(problem(owner).contains("can be read by others"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(problem(owner + 1).contains("no file of this server's user"));
        fs::write(&path, b"short").unwrap();
        assert!(problem(owner).contains("no key of 32 bytes"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(problem(owner).contains("no file of this server's user"));
    }

    #[test]
    fn name_and_content_are_told_apart() {
        let key = SealKey::random();
        assert_ne!(key.seal("ab", b"c"), key.seal("a", b"bc"));
    }
}
