//! Secrets that the server's operator keeps, by name.

use crate::{Error, bindings::nereid::plugin::secrets as host};

/// The secret called `name`, as it was when the plugin was loaded.
///
/// # Errors
/// The plugin's `plugin.toml` does not ask for it.
pub fn secret(name: &str) -> Result<Vec<u8>, Error> {
    Ok(host::get(name)?)
}
