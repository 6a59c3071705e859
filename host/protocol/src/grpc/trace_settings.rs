//! `TraceSetting`: lists of texts; an empty list clears a setting.

use nereid_inference::{InferError, TraceChange, TraceSettings};

use super::proto::{TraceSettingRequest, TraceSettingResponse, trace_setting_response::SettingValue};
use crate::trace_settings::{add_change, entries};

/// The change that a request asks for; `None` when it only asks for the settings.
///
/// # Errors
/// Values that are none of their settings.
pub fn decode_trace_change(request: &TraceSettingRequest) -> Result<Option<TraceChange>, InferError> {
    if request.settings.is_empty() {
        return Ok(None);
    }
    let mut change = TraceChange::default();
    for (key, setting) in &request.settings {
        let texts: Vec<&str> = setting.value.iter().map(String::as_str).collect();
        add_change(&mut change, key, Some(&texts[..]).filter(|texts| !texts.is_empty()))?;
    }
    Ok(Some(change))
}

/// The settings in effect.
pub fn encode_trace_settings(settings: &TraceSettings) -> TraceSettingResponse {
    let settings = entries(settings).into_iter().map(|(key, value)| (key.to_owned(), SettingValue { value }));
    TraceSettingResponse { settings: settings.collect() }
}
