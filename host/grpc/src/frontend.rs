//! What every RPC has at hand: the ports, the settings, and whether the server is about to stop.

use std::sync::Arc;

use nereid_inference::{Diagnostics, InferError, InferenceService, ModelControl, ServedModel};
use nereid_protocol::grpc::parse_version;
use nereid_shared_memory::SharedMemory;
use tokio_util::sync::CancellationToken;

use crate::settings::GrpcSettings;

/// What the frontend serves.
#[derive(Clone)]
pub struct GrpcFrontend {
    pub service: Arc<dyn InferenceService>,
    pub control: Arc<dyn ModelControl>,
    pub diagnostics: Arc<dyn Diagnostics>,
    pub shared_memory: SharedMemory,
    pub settings: GrpcSettings,
}

/// The frontend of a running server.
pub(crate) struct Running {
    pub(crate) service: Arc<dyn InferenceService>,
    pub(crate) control: Arc<dyn ModelControl>,
    pub(crate) diagnostics: Arc<dyn Diagnostics>,
    pub(crate) shared_memory: SharedMemory,
    pub(crate) settings: GrpcSettings,
    /// Fires when the server stops: streams take no more requests.
    pub(crate) stopping: CancellationToken,
}

// === impl Running ===

impl Running {
    /// The frontend in operation until `stopping` fires.
    pub(crate) fn new(frontend: GrpcFrontend, stopping: CancellationToken) -> Self {
        let GrpcFrontend { service, control, diagnostics, shared_memory, settings } = frontend;
        Self { service, control, diagnostics, shared_memory, settings, stopping }
    }

    /// The model that a request names.
    ///
    /// # Errors
    /// `InvalidArgument` for a version that is no number, and what the repository says of names that it does not serve.
    pub(crate) fn model(&self, name: &str, version: &str) -> Result<Arc<dyn ServedModel>, InferError> {
        self.service.model(name, parse_version(version)?)
    }
}
