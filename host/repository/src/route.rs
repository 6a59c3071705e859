//! The atomic route from a name to the generations that answer for it.
//!
//! A route is never changed: a new one takes its place. Reading costs one atomic load and one hash lookup.

use std::{collections::HashMap, sync::Arc};

use nereid_inference::{InferError, ServedModel};

/// Every model that was ever loaded, by name.
#[derive(Default)]
pub(crate) struct Route {
    pub(crate) models: HashMap<Arc<str>, ModelRoute>,
}

/// The versions of one model.
#[derive(Default)]
pub(crate) struct ModelRoute {
    /// Ascending by version.
    pub(crate) ready: Vec<(u64, Arc<dyn ServedModel>)>,
    /// Known, and not ready.
    pub(crate) others: Vec<u64>,
}

// === impl Route ===

impl Route {
    /// The ready version asked for, or the highest ready one; the texts are those of Triton's lookup.
    pub(crate) fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let Some(model) = self.models.get(name) else {
            return Err(InferError::not_found(format!("Request for unknown model: '{name}' is not found")));
        };
        let Some(version) = version else {
            return model.ready.last().map(|(_, served)| served.clone()).ok_or_else(|| {
                InferError::not_found(format!("Request for unknown model: '{name}' has no available versions"))
            });
        };
        match model.ready.iter().find(|(ready, _)| *ready == version) {
            Some((_, served)) => Ok(served.clone()),
            None if model.others.contains(&version) => Err(InferError::unavailable(format!(
                "Request for unknown model: '{name}' version {version} is not at ready state"
            ))),
            None => Err(InferError::not_found(format!(
                "Request for unknown model: '{name}' version {version} is not found"
            ))),
        }
    }

    /// Every ready version, of one model or of all, ordered by name and version.
    pub(crate) fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        let mut models: Vec<(&Arc<str>, &ModelRoute)> = match name {
            Some(name) => self.models.get_key_value(name).into_iter().collect(),
            None => self.models.iter().collect(),
        };
        models.sort_unstable_by_key(|(name, _)| *name);
        models.into_iter().flat_map(|(_, model)| model.ready.iter().map(|(_, served)| served.clone())).collect()
    }
}
