//! `/v2/trace/setting`: a flat object of texts; `null` clears a setting, the level is a list.

use std::{borrow::Cow, collections::BTreeMap};

use nereid_inference::{InferError, TraceChange, TraceSettings};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use super::{metadata::to_json, scalar::unparsable, wire::parse_json};
use crate::trace_settings::{add_change, entries};

struct Shown<'a>(&'a TraceSettings);

/// The change that a body asks for; an empty body asks for none.
///
/// # Errors
/// Malformed JSON, and values that are none of their settings.
pub fn decode_trace_change(body: &[u8]) -> Result<TraceChange, InferError> {
    let mut change = TraceChange::default();
    if body.is_empty() {
        return Ok(change);
    }
    let settings: BTreeMap<Cow<'_, str>, &RawValue> = parse_json(body)?;
    for (key, value) in settings {
        let texts = match &*key {
            "trace_file" => Some(vec![]),
            "trace_level" => optional::<Vec<Cow<'_, str>>>(&key, value, "attempt to access JSON non-array as array")?,
            "trace_rate" | "trace_count" | "log_frequency" => {
                let text = optional(&key, value, "attempt to access JSON non-string as string")?;
                text.map(|text| vec![text])
            }
            _ => continue,
        };
        // An empty list of levels is no level, and changes nothing.
        if key == "trace_level" && texts.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let texts: Option<Vec<&str>> = texts.as_ref().map(|texts| texts.iter().map(|text| &**text).collect());
        add_change(&mut change, &key, texts.as_deref())?;
    }
    Ok(change)
}

/// The settings in effect.
pub fn encode_trace_settings(settings: &TraceSettings) -> Vec<u8> {
    to_json(&Shown(settings))
}

fn optional<'a, T: serde::Deserialize<'a>>(
    key: &str,
    value: &'a RawValue,
    problem: &str,
) -> Result<Option<T>, InferError> {
    serde_json::from_str(value.get()).map_err(|_| unparsable(key, problem))
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = entries(self.0);
        let mut members = serializer.serialize_map(Some(entries.len()))?;
        for (key, values) in &entries {
            match (*key, values.first()) {
                ("trace_level", _) => members.serialize_entry(key, values)?,
                (_, value) => members.serialize_entry(key, &value)?,
            }
        }
        members.end()
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{Change, TraceLevel, TraceMode};

    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<TraceChange, &str>) {
        let outcome = decode_trace_change(body.as_bytes());
        assert_eq!(outcome.as_ref().map_err(|error| error.message()), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn texts_change_and_null_clears() {
        let level = TraceLevel { timestamps: true, tensors: false };
        let change = TraceChange { level: Change::Set(level), rate: Change::Set(5), ..TraceChange::default() };
        check(r#"{"trace_level":["TIMESTAMPS"],"trace_rate":"5","trace_mode":"x"}"#, Ok(change));
        let change = TraceChange { level: Change::Clear, log_frequency: Change::Clear, ..TraceChange::default() };
        check(r#"{"trace_level":null,"log_frequency":null}"#, Ok(change));
        check("", Ok(TraceChange::default()));
        check(r#"{"trace_level":[]}"#, Ok(TraceChange::default()));
    }

    #[test]
    fn wrong_types_are_named() {
        check(r#"{"trace_rate":5}"#, Err("Unable to parse 'trace_rate': attempt to access JSON non-string as string"));
        check(
            r#"{"trace_level":"OFF"}"#,
            Err("Unable to parse 'trace_level': attempt to access JSON non-array as array"),
        );
        check(r#"{"trace_file":null}"#, Err("trace file location can not be updated through network protocol"));
    }

    #[test]
    fn the_settings_of_a_mode_follow_it() {
        let mut settings = TraceSettings {
            level: TraceLevel { timestamps: true, tensors: true },
            rate: 1,
            count: -1,
            log_frequency: 0,
            mode: TraceMode::Triton,
            file: "t.json".into(),
            mode_settings: vec![],
        };
        let shown = |settings: &TraceSettings| String::from_utf8(encode_trace_settings(settings)).unwrap();
        assert_eq!(
            shown(&settings),
            r#"{"trace_level":["TIMESTAMPS","TENSORS"],"trace_rate":"1","trace_count":"-1","log_frequency":"0","trace_file":"t.json","trace_mode":"triton"}"#
        );
        settings.mode = TraceMode::OpenTelemetry;
        settings.level = TraceLevel::OFF;
        settings.mode_settings = vec![("url".into(), "http://c".into())];
        assert_eq!(
            shown(&settings),
            r#"{"trace_level":["OFF"],"trace_rate":"1","trace_count":"-1","trace_mode":"opentelemetry","url":"http://c"}"#
        );
    }
}
