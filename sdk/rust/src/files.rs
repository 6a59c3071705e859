//! Files of the folders that the plugin was granted, under the paths at which its `plugin.toml` puts them.
//!
//! ```no_run
//! # use nereid_sdk::{Error, files};
//! # fn words() -> Result<Vec<u8>, Error> {
//! // [[grants.files]] path = "data", at = "/data"
//! files::read("/data/words.txt")
//! # }
//! ```

use crate::{Error, bindings::nereid::plugin::files as host};

pub use host::Entry;

/// The whole file.
///
/// # Errors
/// It is in no folder that is granted, is not there, or is larger than the plugin's limit on host memory.
pub fn read(path: &str) -> Result<Vec<u8>, Error> {
    Ok(host::read(path)?)
}

/// At most `length` bytes from `offset` on; fewer where the file ends.
///
/// # Errors
/// As of [`read`].
pub fn read_range(path: &str, offset: u32, length: u32) -> Result<Vec<u8>, Error> {
    Ok(host::read_range(path, offset, length)?)
}

/// Makes the file, or puts `data` in the place of all that it held.
///
/// # Errors
/// The folder is not granted for writing, or the disk refuses.
pub fn write(path: &str, data: &[u8]) -> Result<(), Error> {
    Ok(host::write(path, data)?)
}

/// Deletes the file.
///
/// # Errors
/// As of [`write`].
pub fn remove(path: &str) -> Result<(), Error> {
    Ok(host::remove(path)?)
}

/// What lies in the folder, ordered by name.
///
/// # Errors
/// As of [`read`].
pub fn list_folder(path: &str) -> Result<Vec<Entry>, Error> {
    Ok(host::list_folder(path)?)
}
