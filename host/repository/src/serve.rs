//! The port that requests come through: reads the route and takes no lock, except when a health check waits for a
//! version to drain.

use std::sync::{Arc, atomic::Ordering};

use nereid_inference::{InferError, InferenceService, ServedModel, ServerState};

use crate::Repository;

impl InferenceService for Repository {
    fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        self.route.load().model(name, version)
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
        if !self.settings.strict_readiness || self.as_wanted.load(Ordering::Acquire) {
            return ServerState::Ready;
        }
        // Nobody tells when the last request of an unloaded version is answered: look.
        self.settle();
        if self.as_wanted.load(Ordering::Acquire) { ServerState::Ready } else { ServerState::NotReady }
    }
}
