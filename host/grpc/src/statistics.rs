//! Counts and durations of models.

use nereid_inference::{ErrorKind, InferError};
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
    if let Some(name) = name.filter(|_| models.is_empty()) {
        // With namespacing, a name that is unknown or ambiguous.
        let unfound =
            running.service.model(name, None).err().filter(|error| error.kind() == ErrorKind::InvalidArgument);
        let not_ready = || InferError::invalid_argument(format!("requested model '{name}' is not available"));
        return Err(unfound.unwrap_or_else(not_ready));
    }
    models.retain(|model| version.is_none_or(|version| model.identity().version == version));
    if name.is_some() && models.is_empty() {
        let text = format!("requested model version is not available for model '{}'", request.name);
        return Err(InferError::invalid_argument(text));
    }
    let model_stats = models.iter().map(|model| encode_statistics(&model.statistics())).collect();
    Ok(ModelStatisticsResponse { model_stats })
}
