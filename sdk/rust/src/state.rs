//! Small values that outlive the guest: shared by all guests and versions of the plugin's model, kept over swaps.
//!
//! ```no_run
//! # use nereid_sdk::{Error, state};
//! # fn count() -> Result<i64, Error> {
//! state::add("requests", 1)
//! # }
//! ```

use std::time::Duration;

use crate::{Error, bindings::nereid::plugin::state as host};

pub use host::Entry;

/// The value under `key`, and which change made it.
///
/// # Errors
/// A limit.
pub fn get(key: &str) -> Result<Option<Entry>, Error> {
    Ok(host::get(key)?)
}

/// Writes whatever is there, and gives the new version. The value is forgotten after `time_to_live`, or never.
///
/// # Errors
/// The key is too long, or the model's state would be too large.
pub fn set(key: &str, value: &[u8], time_to_live: Option<Duration>) -> Result<u64, Error> {
    Ok(host::set(key, value, time_to_live.map(milliseconds))?)
}

/// Writes if the version there is still `expected`, `None` for no value; gives `None` when somebody else was quicker.
///
/// # Errors
/// As of [`set`].
pub fn swap(
    key: &str,
    value: &[u8],
    expected: Option<u64>,
    time_to_live: Option<Duration>,
) -> Result<Option<u64>, Error> {
    Ok(host::swap(key, value, expected, time_to_live.map(milliseconds))?)
}

/// Adds to the whole number under `key`, 0 when there is none, and gives the sum.
///
/// # Errors
/// As of [`set`]; or what is there is no number.
pub fn add(key: &str, amount: i64) -> Result<i64, Error> {
    Ok(host::add(key, amount)?)
}

/// Forgets `key`, and says whether there was a value.
///
/// # Errors
/// A limit.
pub fn delete(key: &str) -> Result<bool, Error> {
    Ok(host::delete(key)?)
}

/// The keys that begin with `prefix`, in order, at most `limit` of them.
///
/// # Errors
/// A limit.
pub fn keys(prefix: &str, limit: u32) -> Result<Vec<String>, Error> {
    Ok(host::keys(prefix, limit)?)
}

/// Whole milliseconds, rounded up so that a short life is still one.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
