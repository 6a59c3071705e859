//! The trace extension's settings as both protocols write them: every value is text.
//!
//! Keys that are not known are passed over, as Triton does; values that cannot be meant are refused, those too that Triton
//! would pass over.

use std::fmt::Display;

use nereid_inference::{Change, InferError, TraceChange, TraceLevel, TraceMode, TraceSettings};

/// Adds one entry of a request to the change: no values clear the setting.
///
/// # Errors
/// `Unsupported` for the file's place; `InvalidArgument` for a value that is no value of the setting.
pub(crate) fn add_change(change: &mut TraceChange, key: &str, values: Option<&[&str]>) -> Result<(), InferError> {
    match key {
        "trace_file" => {
            let text = "trace file location can not be updated through network protocol";
            return Err(InferError::unsupported(text));
        }
        "trace_level" => change.level = values.map_or(Ok(Change::Clear), |words| level(words).map(Change::Set))?,
        "trace_rate" => change.rate = number(key, values, u32::MIN, u32::MAX)?,
        "trace_count" => change.count = number(key, values, -1, i32::MAX)?,
        "log_frequency" => change.log_frequency = number(key, values, u32::MIN, u32::MAX)?,
        _ => {}
    }
    Ok(())
}

/// Names and values of all settings, in the order in which they are shown.
pub(crate) fn entries(settings: &TraceSettings) -> Vec<(&str, Vec<String>)> {
    let mut entries = vec![
        ("trace_level", settings.level.names().map(str::to_owned).collect()),
        ("trace_rate", vec![settings.rate.to_string()]),
        ("trace_count", vec![settings.count.to_string()]),
    ];
    if settings.mode == TraceMode::Triton {
        entries.push(("log_frequency", vec![settings.log_frequency.to_string()]));
        entries.push(("trace_file", vec![settings.file.clone()]));
    }
    entries.push(("trace_mode", vec![settings.mode.name().to_owned()]));
    for (key, value) in &settings.mode_settings {
        entries.push((key, vec![value.clone()]));
    }
    entries
}

fn level(words: &[&str]) -> Result<TraceLevel, InferError> {
    let mut level = TraceLevel::OFF;
    for word in words {
        match *word {
            "OFF" if words.len() == 1 => {}
            "OFF" => return Err(InferError::invalid_argument("Expect only one trace level 'OFF' is specified")),
            "TIMESTAMPS" => level.timestamps = true,
            "TENSORS" => level.tensors = true,
            other => {
                let text = format!(
                    "Unable to parse 'trace_level', got: {other}; expected 'OFF', or 'TIMESTAMPS' and 'TENSORS'"
                );
                return Err(InferError::invalid_argument(text));
            }
        }
    }
    Ok(level)
}

/// A number of at least `least`; the messages are Triton's.
fn number<T>(key: &str, values: Option<&[&str]>, least: T, most: T) -> Result<Change<T>, InferError>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    let text = match values {
        None | Some([]) => return Ok(Change::Clear),
        Some([text]) => *text,
        Some(_) => return Err(InferError::invalid_argument(format!("expect only 1 value for '{key}'"))),
    };
    let is_number = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse::<i64>().ok().and_then(|number| T::try_from(number).ok());
    Err(InferError::invalid_argument(match parsed {
        Some(number) if number >= least => return Ok(Change::Set(number)),
        Some(_) => format!("Unable to parse '{key}'. Expecting value >= {least}, got:{text}"),
        None if is_number && !text.is_empty() => {
            format!("Unable to parse '{key}', value is out of range [ {least}, {most} ], got: {text}")
        }
        None => format!("Unable to parse '{key}', got: {text}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, values: Option<&[&str]>, expected: Result<TraceChange, &str>) {
        let mut change = TraceChange::default();
        let outcome = add_change(&mut change, key, values).map(|()| change);
        assert_eq!(outcome.as_ref().map_err(|error| error.message()), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn levels_are_words() {
        let level = |timestamps, tensors| {
            Ok(TraceChange { level: Change::Set(TraceLevel { timestamps, tensors }), ..TraceChange::default() })
        };
        check("trace_level", Some(&["TIMESTAMPS"]), level(true, false));
        check("trace_level", Some(&["TENSORS", "TIMESTAMPS"]), level(true, true));
        check("trace_level", Some(&["OFF"]), level(false, false));
        check("trace_level", None, Ok(TraceChange { level: Change::Clear, ..TraceChange::default() }));
        check("trace_level", Some(&["OFF", "TENSORS"]), Err("Expect only one trace level 'OFF' is specified"));
        let text = "Unable to parse 'trace_level', got: MAX; expected 'OFF', or 'TIMESTAMPS' and 'TENSORS'";
        check("trace_level", Some(&["MAX"]), Err(text));
    }

    #[test]
    fn numbers_have_their_ranges() {
        let rate = |rate| Ok(TraceChange { rate, ..TraceChange::default() });
        check("trace_rate", Some(&["12"]), rate(Change::Set(12)));
        check("trace_rate", None, rate(Change::Clear));
        check("trace_count", Some(&["-1"]), Ok(TraceChange { count: Change::Set(-1), ..TraceChange::default() }));
        check("trace_rate", Some(&["x"]), Err("Unable to parse 'trace_rate', got: x"));
        check("trace_rate", Some(&["1", "2"]), Err("expect only 1 value for 'trace_rate'"));
        let text = "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: 10000000000";
        check("trace_rate", Some(&["10000000000"]), Err(text));
        let text = "Unable to parse 'log_frequency', value is out of range [ 0, 4294967295 ], got: -1";
        check("log_frequency", Some(&["-1"]), Err(text));
        let text = "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: 10000000000";
        check("trace_count", Some(&["10000000000"]), Err(text));
        check("trace_count", Some(&["-2"]), Err("Unable to parse 'trace_count'. Expecting value >= -1, got:-2"));
    }

    #[test]
    fn the_file_stays_where_it_is_and_other_keys_mean_nothing() {
        check("trace_file", Some(&["x"]), Err("trace file location can not be updated through network protocol"));
        check("trace_mode", Some(&["opentelemetry"]), Ok(TraceChange::default()));
    }
}
