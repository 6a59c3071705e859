//! `TraceSetting` and `LogSettings`: what is traced and logged, shown and changed.

use nereid_inference::InferError;
use nereid_protocol::grpc::{
    decode_log_change, decode_trace_change, encode_log_settings, encode_trace_settings,
    proto::{LogSettingsRequest, LogSettingsResponse, TraceSettingRequest, TraceSettingResponse},
};

use crate::frontend::Running;

/// The trace settings of the server or of one model, after the change that is asked for.
pub(crate) fn trace_setting(
    running: &Running,
    request: &TraceSettingRequest,
) -> Result<TraceSettingResponse, InferError> {
    let model = Some(request.model_name.as_str()).filter(|name| !name.is_empty());
    if let Some(name) = model {
        let unknown = |_| InferError::invalid_argument(format!("Request for unknown model : {name}"));
        running.service.model(name, None).map_err(unknown)?;
    }
    if let Some(change) = decode_trace_change(request)? {
        running.diagnostics.change_trace_settings(model, &change)?;
    }
    Ok(encode_trace_settings(&running.diagnostics.trace_settings(model)))
}

/// The log settings after the change that is asked for.
pub(crate) fn log_settings(running: &Running, request: &LogSettingsRequest) -> Result<LogSettingsResponse, InferError> {
    let change = decode_log_change(request)?;
    if !request.settings.is_empty() {
        running.diagnostics.change_log_settings(&change);
    }
    Ok(encode_log_settings(&running.diagnostics.log_settings()))
}
