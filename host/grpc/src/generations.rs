//! Nereid's own service: which generations of a model were loaded, and the way back to the one before.

use std::sync::Arc;

use nereid_protocol::grpc::{
    encode_history,
    generations::{HistoryRequest, HistoryResponse, RollBackRequest, RollBackResponse},
};
use tonic::{Request, Response, Status};

use crate::{
    error::status,
    frontend::Running,
    generated_generations::model_generations_server::ModelGenerations,
    repository::{REQUESTED_BY, blocking},
};

/// The service over one running frontend.
pub(crate) struct GenerationRpcs(pub(crate) Arc<Running>);

// === impl GenerationRpcs ===

#[tonic::async_trait]
impl ModelGenerations for GenerationRpcs {
    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        let HistoryRequest { name } = request.into_inner();
        let histories = blocking(&self.0, move |control| control.history(&name)).await;
        histories.map(|histories| Response::new(encode_history(&histories))).map_err(|error| status(&error))
    }

    async fn roll_back(&self, request: Request<RollBackRequest>) -> Result<Response<RollBackResponse>, Status> {
        let RollBackRequest { name } = request.into_inner();
        let done = blocking(&self.0, move |control| control.roll_back(&name, REQUESTED_BY)).await;
        done.map(|()| Response::new(RollBackResponse {})).map_err(|error| status(&error))
    }
}
