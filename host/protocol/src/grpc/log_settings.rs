//! `LogSettings`: a value per key, each of its own type.

use nereid_inference::{InferError, LogChange, LogSettings};

use super::proto::{
    LogSettingsRequest, LogSettingsResponse,
    log_settings_request::setting_value::ParameterChoice as Given,
    log_settings_response::{SettingValue, setting_value::ParameterChoice as Shown},
};

/// The change that a request asks for.
///
/// # Errors
/// Values of a wrong type, a format that does not exist, and any log file.
pub fn decode_log_change(request: &LogSettingsRequest) -> Result<LogChange, InferError> {
    let mut change = LogChange::default();
    for (key, setting) in &request.settings {
        let expected = |expected| InferError::invalid_argument(format!("expect {expected} for '{key}'"));
        match (key.as_str(), &setting.parameter_choice) {
            ("log_file", _) => {
                let text = "log file location can not be updated through network protocol";
                return Err(InferError::unsupported(text));
            }
            ("log_info", Some(Given::BoolParam(wanted))) => change.info = Some(*wanted),
            ("log_warning", Some(Given::BoolParam(wanted))) => change.warning = Some(*wanted),
            ("log_error", Some(Given::BoolParam(wanted))) => change.error = Some(*wanted),
            ("log_info" | "log_warning" | "log_error", _) => return Err(expected("boolean")),
            ("log_verbose_level", Some(Given::Uint32Param(level))) => change.verbose_level = Some(*level),
            // Triton's word; the type is uint32.
            ("log_verbose_level", _) => return Err(expected("int32")),
            ("log_format", Some(Given::StringParam(name))) => {
                let unknown = |_| format!("invalid argument for log_format, got: {name}");
                change.format = Some(name.parse().map_err(unknown).map_err(InferError::invalid_argument)?);
            }
            ("log_format", _) => return Err(expected("string")),
            _ => {}
        }
    }
    Ok(change)
}

/// The settings in effect.
pub fn encode_log_settings(settings: &LogSettings) -> LogSettingsResponse {
    let shown = [
        ("log_file", Shown::StringParam(settings.file.clone().unwrap_or_default())),
        ("log_info", Shown::BoolParam(settings.info)),
        ("log_warning", Shown::BoolParam(settings.warning)),
        ("log_error", Shown::BoolParam(settings.error)),
        ("log_verbose_level", Shown::Uint32Param(settings.verbose_level)),
        ("log_format", Shown::StringParam(settings.format.name().to_owned())),
    ];
    let settings = shown.map(|(key, value)| (key.to_owned(), SettingValue { parameter_choice: Some(value) }));
    LogSettingsResponse { settings: settings.into() }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{ErrorKind, LogFormat};

    use super::*;
    use crate::grpc::proto::log_settings_request;

    #[track_caller]
    fn check(key: &str, value: Given, expected: Result<LogChange, (ErrorKind, &str)>) {
        let setting = log_settings_request::SettingValue { parameter_choice: Some(value) };
        let request = LogSettingsRequest { settings: [(key.to_owned(), setting)].into() };
        let outcome = decode_log_change(&request);
        assert_eq!(
            outcome.as_ref().map_err(|error| (error.kind(), error.message())),
            expected.as_ref().map_err(|e| *e)
        );
    }

    #[test]
    fn each_key_has_its_type() {
        let none = LogChange::default();
        check("log_info", Given::BoolParam(false), Ok(LogChange { info: Some(false), ..none }));
        check("log_verbose_level", Given::Uint32Param(2), Ok(LogChange { verbose_level: Some(2), ..none }));
        let format = Some(LogFormat::Iso8601);
        check("log_format", Given::StringParam("ISO8601".into()), Ok(LogChange { format, ..none }));
        check("unknown", Given::BoolParam(true), Ok(none));
        let invalid = |text| Err((ErrorKind::InvalidArgument, text));
        check("log_error", Given::Uint32Param(1), invalid("expect boolean for 'log_error'"));
        check("log_verbose_level", Given::BoolParam(true), invalid("expect int32 for 'log_verbose_level'"));
        check("log_format", Given::BoolParam(true), invalid("expect string for 'log_format'"));
        check("log_format", Given::StringParam("x".into()), invalid("invalid argument for log_format, got: x"));
        let text = "log file location can not be updated through network protocol";
        check("log_file", Given::StringParam("x".into()), Err((ErrorKind::Unsupported, text)));
    }
}
