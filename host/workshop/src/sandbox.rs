//! The engine that the server has, with the server's cache.

use std::path::Path;

use nereid_plugin::{PluginEngine, PluginError};

use crate::WorkshopError;

/// Starts it. A cache that cannot be used costs time and nothing else.
pub(crate) fn engine(cache_directory: Option<&Path>) -> Result<PluginEngine, WorkshopError> {
    match PluginEngine::start(cache_directory.map(Path::to_path_buf)) {
        Err(PluginError::Cache { .. }) => Ok(PluginEngine::start(None)?),
        started => Ok(started?),
    }
}
