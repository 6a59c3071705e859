//! The model repository, for plugins that are granted some of its models under `model_control`.

use crate::{Error, bindings::nereid::plugin::control as host};

pub use host::{ModelEntry, ModelState};

/// Every version of the models that the plugin may control.
///
/// # Errors
/// The server is starting or ending.
pub fn index() -> Result<Vec<ModelEntry>, Error> {
    Ok(host::index()?)
}

/// Loads the model, or loads it again, and returns when it is ready. `config` is a whole configuration as JSON, instead of
/// that of the repository.
///
/// # Errors
/// The plugin may not, or the model cannot be loaded.
pub fn load(model: &str, config: Option<&str>) -> Result<(), Error> {
    Ok(host::load(model, config)?)
}

/// Starts to unload the model; what it was asked is still answered. With `dependents`, the models that only an ensemble
/// needs go with it.
///
/// # Errors
/// The plugin may not, or the server's control mode forbids it.
pub fn unload(model: &str, dependents: bool) -> Result<(), Error> {
    Ok(host::unload(model, dependents)?)
}
