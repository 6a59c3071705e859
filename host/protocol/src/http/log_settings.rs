//! `/v2/logging`: a flat object of booleans, a number and texts; what is `null` stays as it is.

use nereid_inference::{InferError, LogChange, LogSettings};
use serde::Serialize;

use super::{
    metadata::to_json,
    scalar::{Object, Scalar, unparsable},
    wire::parse_json,
};

#[derive(Serialize)]
struct Shown<'a> {
    log_file: &'a str,
    log_info: bool,
    log_warning: bool,
    log_error: bool,
    log_verbose_level: u32,
    log_format: &'a str,
}

/// The change that a body asks for; an empty body asks for none.
///
/// # Errors
/// Malformed JSON, values of a wrong type, a format that does not exist, and any other log file.
pub fn decode_log_change(body: &[u8]) -> Result<LogChange, InferError> {
    let mut change = LogChange::default();
    if body.is_empty() {
        return Ok(change);
    }
    for (key, value) in parse_json::<Object<'_>>(body)?.into_entries("dynamic logging")? {
        if value == Scalar::Null {
            continue;
        }
        match &*key {
            "log_file" => {
                let text = "log file location can not be updated through network protocol";
                return Err(InferError::unsupported(text));
            }
            "log_info" => change.info = Some(value.boolean(&key)?),
            "log_warning" => change.warning = Some(value.boolean(&key)?),
            "log_error" => change.error = Some(value.boolean(&key)?),
            "log_verbose_level" => {
                let level = u32::try_from(value.uint(&key)?);
                change.verbose_level = Some(level.map_err(|_| unparsable(&key, "expected at most 4294967295"))?);
            }
            "log_format" => {
                let name = value.text(&key)?;
                let unknown = |_| format!("invalid argument for --log_format, got: {name}");
                change.format = Some(name.parse().map_err(unknown).map_err(InferError::unavailable)?);
            }
            _ => {}
        }
    }
    Ok(change)
}

/// The settings in effect.
pub fn encode_log_settings(settings: &LogSettings) -> Vec<u8> {
    to_json(&Shown {
        log_file: settings.file.as_deref().unwrap_or_default(),
        log_info: settings.info,
        log_warning: settings.warning,
        log_error: settings.error,
        log_verbose_level: settings.verbose_level,
        log_format: settings.format.name(),
    })
}

#[cfg(test)]
mod tests {
    use nereid_inference::LogFormat;

    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<LogChange, &str>) {
        let outcome = decode_log_change(body.as_bytes());
        assert_eq!(outcome.as_ref().map_err(|error| error.message()), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn only_what_is_given_changes() {
        let change = LogChange { info: Some(false), format: Some(LogFormat::Iso8601), ..LogChange::default() };
        check(r#"{"log_info":false,"log_error":null,"log_file":null,"log_format":"ISO8601"}"#, Ok(change));
        check(r#"{"log_verbose_level":3}"#, Ok(LogChange { verbose_level: Some(3), ..LogChange::default() }));
        check("", Ok(LogChange::default()));
    }

    #[test]
    fn wrong_values_are_named() {
        let text =
            "Unable to parse 'log_verbose_level': attempt to access JSON non-unsigned-integer as unsigned-integer";
        check(r#"{"log_verbose_level":-1}"#, Err(text));
        check(r#"{"log_verbose_level":"1"}"#, Err(text));
        check(r#"{"log_info":1}"#, Err("Unable to parse 'log_info': attempt to access JSON non-boolean as boolean"));
        check(r#"{"log_format":"x"}"#, Err("invalid argument for --log_format, got: x"));
        check(r#"{"log_file":"x"}"#, Err("log file location can not be updated through network protocol"));
        check("[]", Err("Unable to parse 'dynamic logging': attempt to access JSON non-object as object"));
    }
}
