//! The port that requests come through: reads the route and takes no lock, except when a health check waits for a
//! version to drain. Health checks also ask the backends of what is loaded.

use std::sync::{Arc, atomic::Ordering};

use nereid_inference::{ErrorKind, InferError, InferenceService, ModelIdentity, ServedModel, ServerState};

use crate::Repository;

impl InferenceService for Repository {
    fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        self.route.load().model(name, version)
    }

    fn ready_model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = self.model(name, version)?;
        readiness(&*model).map(|()| model)
    }

    fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        self.route.load().ready_models(name)
    }

    fn server_state(&self) -> ServerState {
        if self.exiting.load(Ordering::Acquire) {
            return ServerState::Exiting;
        }
        if !self.started.load(Ordering::Acquire) {
            return ServerState::Starting;
        }
        if !self.settings.strict_readiness {
            return ServerState::Ready;
        }
        if !self.as_wanted.load(Ordering::Acquire) {
            // Nobody tells when the last request of an unloaded version is answered: look.
            self.settle();
        }
        let is_as_wanted = self.as_wanted.load(Ordering::Acquire);
        let is_ready = is_as_wanted && self.ready_models(None).iter().all(|model| keeps_server_ready(&**model));
        if is_ready { ServerState::Ready } else { ServerState::NotReady }
    }
}

/// Whether the server may be ready with this model: what passes by itself is that model's affair, and must not send everybody
/// else's requests away.
fn keeps_server_ready(model: &dyn ServedModel) -> bool {
    readiness(model).map_or_else(|error| error.kind() == ErrorKind::Unavailable, |()| true)
}

/// What a version's backend says, which the log shows at verbose level 1, as Triton's does.
fn readiness(model: &dyn ServedModel) -> Result<(), InferError> {
    model.readiness().inspect_err(|error| {
        let ModelIdentity { name, version, .. } = model.identity();
        tracing::debug!("Model '{name}' version {version} is not ready: {}", error.message());
    })
}
