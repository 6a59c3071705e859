//! Counts and durations of models.

use nereid_inference::InferError;
use nereid_protocol::grpc::{
    encode_statistics, parse_version,
    proto::{ModelStatisticsRequest, ModelStatisticsResponse},
};

use crate::frontend::Running;

/// One row per ready version of the model asked for, or of all models.
pub(crate) fn model_statistics(
    running: &Running,
    request: &ModelStatisticsRequest,
) -> Result<ModelStatisticsResponse, InferError> {
    let version = parse_version(&request.version)?;
    let name = (!request.name.is_empty()).then_some(request.name.as_str());
    let mut models = running.service.ready_models(name);
    if name.is_some() && models.is_empty() {
        let text = format!("requested model '{}' is not available", request.name);
        return Err(InferError::invalid_argument(text));
    }
    models.retain(|model| version.is_none_or(|version| model.identity().version == version));
    if name.is_some() && models.is_empty() {
        let text = format!("requested model version is not available for model '{}'", request.name);
        return Err(InferError::invalid_argument(text));
    }
    let model_stats = models.iter().map(|model| encode_statistics(&model.statistics())).collect();
    Ok(ModelStatisticsResponse { model_stats })
}
