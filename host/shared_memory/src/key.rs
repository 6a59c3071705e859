//! Names of shared memory objects, as POSIX has them and as far as clients may use them.
//!
//! A key names a file directly below the system's folder for shared memory. Slashes in front mean nothing; a key can
//! neither leave the folder nor go deeper.

use std::fs::File;

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::SharedMemoryError;

/// Where Linux keeps shared memory objects.
const FOLDER: &str = "/dev/shm";

/// Objects between Triton's Python backend and its processes; no client's business.
const RESERVED_PREFIX: &str = "triton_python_backend_shm_region_";

/// An object that was opened, and its length.
pub(crate) struct Object {
    pub(crate) file: File,
    pub(crate) length_bytes: u64,
}

/// Opens the object that `key` names, for the region `name`.
///
/// Symbolic links are not followed: anybody may put one into the folder, and it would lead the server to any file that
/// it may write.
///
/// # Errors
/// A key that is no name or a reserved one; an object that does not exist, may not be read and written, or is a device.
pub(crate) fn open(name: &str, key: &str) -> Result<Object, SharedMemoryError> {
    let object_name = check(name, key)?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = format!("{FOLDER}/{object_name}");
    let failed =
        |error: rustix::io::Errno| SharedMemoryError::Open { key: key.to_owned(), source: std::io::Error::from(error) };
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    match u64::try_from(stat.st_size) {
        Ok(length_bytes) if FileType::from_raw_mode(stat.st_mode).is_file() => {
            Ok(Object { file: file.into(), length_bytes })
        }
        _ => Err(SharedMemoryError::NoObject { key: key.to_owned() }),
    }
}

/// The name of the object within the folder.
fn check<'k>(name: &str, key: &'k str) -> Result<&'k str, SharedMemoryError> {
    let object_name = key.trim_start_matches('/');
    if object_name.starts_with(RESERVED_PREFIX) {
        let (name, key) = (name.to_owned(), key.to_owned());
        return Err(SharedMemoryError::ReservedKey { name, key, prefix: RESERVED_PREFIX });
    }
    if matches!(object_name, "" | "." | "..") || object_name.contains(['/', '\0']) {
        return Err(SharedMemoryError::InvalidKey { name: name.to_owned(), key: key.to_owned() });
    }
    Ok(object_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(key: &str) -> String {
        check("R", key).unwrap_err().to_string()
    }

    #[test]
    fn slashes_in_front_mean_nothing() {
        assert_eq!(check("R", "///input").unwrap(), "input");
        assert_eq!(check("R", "input").unwrap(), "input");
    }

    #[test]
    fn a_key_that_leaves_the_folder_or_names_nothing_is_refused() {
        for key in ["", "/", "///", "..", "/.", "/a/b", "../etc/passwd", "a\0b"] {
            assert_eq!(refused(key), format!("cannot register shared memory region 'R' - invalid shm key '{key}'"));
        }
    }

    #[test]
    fn the_python_backends_keys_are_refused() {
        let expected = "cannot register shared memory region 'R' with key '//triton_python_backend_shm_region_1' as the \
                        key contains the reserved prefix 'triton_python_backend_shm_region_'";
        assert_eq!(refused("//triton_python_backend_shm_region_1"), expected);
    }
}
