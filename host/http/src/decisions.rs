//! `GET /v2/debug/models/{m}[/versions/{v}]/decisions`: why the last batches went when they did.

use std::sync::Arc;

use axum::extract::State;
use http::Response;
use nereid_inference::{DecisionLog, ModelIdentity};
use nereid_protocol::http::encode_decisions;

use crate::{
    FrameBody, HttpFrontend,
    error::{Refusal, json_response},
    model_path::ModelTarget,
    statistics,
};

/// Of every ready version of a model, or of one.
pub(crate) async fn model(
    State(frontend): State<Arc<HttpFrontend>>,
    target: ModelTarget,
) -> Result<Response<FrameBody>, Refusal> {
    let models = statistics::ready(&frontend, &target)?;
    let logs: Vec<(ModelIdentity, DecisionLog)> =
        models.iter().map(|model| (model.identity().clone(), model.decisions())).collect();
    Ok(json_response(encode_decisions(&logs)))
}
