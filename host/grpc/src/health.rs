//! Whether the server and its models can be used: Triton's own RPCs and the standard health service.

use std::sync::Arc;

use nereid_inference::{InferError, ServerState};
use nereid_protocol::grpc::{
    parse_version,
    proto::{ModelReadyRequest, ModelReadyResponse, ServerLiveResponse, ServerReadyResponse},
};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use crate::{error::status, frontend::Running};

/// Whether the process is up. While it starts it is: a liveness probe must not kill a server that loads its models.
pub(crate) fn server_live(running: &Running) -> Result<ServerLiveResponse, InferError> {
    refuse_exiting(running.service.server_state())?;
    Ok(ServerLiveResponse { live: true })
}

/// Whether every model that must be ready is.
pub(crate) fn server_ready(running: &Running) -> Result<ServerReadyResponse, InferError> {
    let state = running.service.server_state();
    refuse_exiting(state)?;
    Ok(ServerReadyResponse { ready: state == ServerState::Ready })
}

/// Whether a model answers requests. One that does not exist is not ready, which is no error: released versions of
/// Triton say so, and clients poll with this while a model loads.
pub(crate) fn model_ready(running: &Running, request: &ModelReadyRequest) -> Result<ModelReadyResponse, InferError> {
    let version = parse_version(&request.version)?;
    Ok(ModelReadyResponse { ready: running.service.ready_model(&request.name, version).is_ok() })
}

fn refuse_exiting(state: ServerState) -> Result<(), InferError> {
    match state {
        ServerState::Exiting => Err(InferError::unavailable("Server exiting")),
        ServerState::Starting | ServerState::Ready | ServerState::NotReady => Ok(()),
    }
}

/// `grpc.health.v1`: the state of the server under every service name.
pub(crate) struct StandardHealth(pub(crate) Arc<Running>);

// === impl StandardHealth ===

#[tonic::async_trait]
impl Health for StandardHealth {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let serving = match self.0.service.server_state() {
            ServerState::Ready => ServingStatus::Serving,
            ServerState::Starting | ServerState::NotReady | ServerState::Exiting => ServingStatus::NotServing,
        };
        Ok(Response::new(HealthCheckResponse { status: serving.into() }))
    }

    type WatchStream = futures_util::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(status(&InferError::unsupported(
            "grpc.health.v1.Health/Watch is not offered by this server: call Check instead",
        )))
    }
}
