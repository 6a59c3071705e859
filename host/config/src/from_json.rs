//! Reads the JSON form of a configuration, as clients send it to replace `config.pbtxt`.
//!
//! Accepted is what protobuf's JSON reader accepts: proto or camel-case field names, 64-bit integers as numbers or
//! strings, and, as Triton asks for, enum names in any case. Refused: unknown fields, by name.

use nereid_inference::ModelConfig;
use prost_reflect::{DeserializeOptions, DynamicMessage, EnumDescriptor, Kind, MessageDescriptor};
use serde_json::Value;

use crate::{ConfigError, from_proto, schema};

/// The configuration that a JSON text describes.
///
/// # Errors
/// No JSON, an unknown field, or a value that the field cannot have.
pub fn parse_json(text: &str) -> Result<ModelConfig, ConfigError> {
    let refused = |error: &dyn std::fmt::Display| ConfigError::Json(error.to_string());
    let mut document: Value = serde_json::from_str(text).map_err(|error| refused(&error))?;
    if !document.is_object() {
        return Err(refused(&"expected an object with the fields of ModelConfig"));
    }
    name_enums(&mut document, schema::model_config());
    let message = read(document.clone()).map_err(|error| ConfigError::Json(first_mistake(document, &error)))?;
    from_proto(message.transcode_to().map_err(|error| refused(&error))?)
}

fn read(document: Value) -> Result<DynamicMessage, serde_json::Error> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(schema::model_config().clone(), document, &options)
}

/// The reader does not say where it stopped: each field is read by itself to find out.
fn first_mistake(document: Value, error: &serde_json::Error) -> String {
    let Value::Object(members) = document else { return error.to_string() };
    let mistake = |(name, member): (String, Value)| {
        let alone = Value::Object([(name.clone(), member)].into_iter().collect());
        Some(format!("field '{name}': {}", read(alone).err()?))
    };
    members.into_iter().find_map(mistake).unwrap_or_else(|| error.to_string())
}

/// Writes enum values as the schema does. What is no enum, or no name of its enum, is left for the reader to judge.
fn name_enums(value: &mut Value, message: &MessageDescriptor) {
    let Value::Object(members) = value else { return };
    for (name, member) in members {
        let field = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
        let Some(field) = field else { continue };
        match (field.kind(), member) {
            (Kind::Message(entry), Value::Object(entries)) if field.is_map() => {
                let kind = entry.map_entry_value_field().kind();
                entries.values_mut().for_each(|entry| name_enum(entry, &kind));
            }
            (kind, Value::Array(elements)) => elements.iter_mut().for_each(|element| name_enum(element, &kind)),
            (kind, member) => name_enum(member, &kind),
        }
    }
}

fn name_enum(value: &mut Value, kind: &Kind) {
    match kind {
        Kind::Message(message) => name_enums(value, message),
        Kind::Enum(descriptor) => {
            if let Value::String(name) = value
                && let Some(known) = known_name(name, descriptor)
            {
                *name = known;
            }
        }
        _ => {}
    }
}

/// The value's name in the schema's spelling: upper case, underscores.
fn known_name(name: &str, descriptor: &EnumDescriptor) -> Option<String> {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    descriptor.get_value_by_name(&upper).map(|value| value.name().to_owned())
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::{InstanceKind, VersionPolicy};
    use nereid_tensor::DataType;

    use super::*;
    use crate::{parse_text, to_json};

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let error = parse_json(text).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
    }

    #[test]
    fn enum_names_have_any_case_at_any_depth() {
        let config = parse_json(
            r#"{"backend":"identity","instance_group":[{"count":2,"kind":"kind_cpu"}],
                "input":[{"name":"x","data_type":"type-fp32","dims":["-1", 4]}],
                "dynamic_batching":{"priority_queue_policy":{"1":{"timeout_action":"delay"}}},
                "versionPolicy":{"specific":{"versions":[2]}}}"#,
        )
        .unwrap();
        assert_eq!((config.instance_groups[0].kind, config.instance_groups[0].count), (InstanceKind::Cpu, 2));
        assert_eq!(config.inputs[0].data_type, DataType::Fp32.into());
        assert_eq!(config.inputs[0].dims, [-1, 4]);
        assert_eq!(config.version_policy, Some(VersionPolicy::Specific { versions: vec![2] }));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = "name: 'm' backend: 'b' max_batch_size: 4 input { name: 'x' data_type: TYPE_STRING dims: [ -1 ] }
                    dynamic_batching { max_queue_delay_microseconds: 18446744073709551615
                                       priority_queue_policy { key: 2 value { timeout_action: DELAY } } }
                    version_policy { all { } } parameters { key: 'k' value { string_value: 'v' } }";
        let config = parse_text("config.pbtxt", text).unwrap();
        assert_eq!(parse_json(&to_json(&config)).unwrap(), config);
    }

    #[test]
    fn what_is_no_configuration_says_what_is_wrong() {
        check_refused("", "EOF");
        check_refused("[]", "expected an object with the fields of ModelConfig");
        check_refused(r#"{"max_batchsize":1}"#, "max_batchsize");
        check_refused(r#"{"input":[{"data_type":"TYPE_FLOAT"}]}"#, "TYPE_FLOAT");
        check_refused(r#"{"name":"m","max_batch_size":"many"}"#, "field 'max_batch_size': invalid digit");
        check_refused(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "recursion limit");
    }
}
