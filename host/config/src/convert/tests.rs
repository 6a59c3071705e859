//! Proof that no field is lost: the schema itself says what there is to set.

use std::collections::HashMap;

use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};

use super::{from_proto, to_proto};
use crate::{ConfigError, parse_text, proto, schema};

/// No choice of the schema has more members than this.
const CHOICES_MAX: usize = 3;

/// A message with every field set, each to a value of its own; of a choice the member numbered `choice`.
fn full(descriptor: &MessageDescriptor, choice: usize, serial: &mut i32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if let Some(oneof) = field.containing_oneof() {
            let members: Vec<FieldDescriptor> = oneof.fields().collect();
            assert!(members.len() <= CHOICES_MAX);
            if members[choice % members.len()] != field {
                continue;
            }
        }
        let value = value(&field, choice, serial);
        // An enum of one value has nothing but its default, which the wire leaves out.
        if field.supports_presence() || !value.is_default_for_field(&field) {
            message.set_field(&field, value);
        }
    }
    message
}

fn value(field: &FieldDescriptor, choice: usize, serial: &mut i32) -> Value {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { panic!("a map has entries") };
        let mut entries = HashMap::new();
        for _ in 0..2 {
            *serial += 1;
            let key = match entry.map_entry_key_field().kind() {
                Kind::Uint64 => MapKey::U64(u64::try_from(*serial).unwrap()),
                _ => MapKey::String(format!("key {serial}")),
            };
            entries.insert(key, single(&entry.map_entry_value_field(), choice, serial));
        }
        return Value::Map(entries);
    }
    if field.is_list() {
        return Value::List((0..2).map(|_| single(field, choice, serial)).collect());
    }
    single(field, choice, serial)
}

fn single(field: &FieldDescriptor, choice: usize, serial: &mut i32) -> Value {
    *serial += 1;
    match field.kind() {
        Kind::Message(descriptor) => Value::Message(full(&descriptor, choice, serial)),
        Kind::String => Value::String(format!("text \"{serial}\" \\ \n µ")),
        Kind::Bool => Value::Bool(true),
        Kind::Int32 => Value::I32(-*serial),
        Kind::Int64 => Value::I64(i64::MIN + i64::from(*serial)),
        Kind::Uint32 => Value::U32(u32::MAX - u32::try_from(*serial).unwrap()),
        Kind::Uint64 => Value::U64(u64::MAX - u64::try_from(*serial).unwrap()),
        Kind::Float => Value::F32(0.5 + 0.25 * f32::from(i16::try_from(*serial).unwrap())),
        Kind::Double => Value::F64(0.1 * f64::from(*serial)),
        Kind::Enum(descriptor) => {
            let names: Vec<i32> = descriptor.values().map(|value| value.number()).collect();
            // The last value first: it is not the default.
            Value::EnumNumber(names[names.len() - 1 - choice % names.len()])
        }
        kind => panic!("a configuration has no field of kind {kind:?}"),
    }
}

/// The message through the nouns and back.
fn through_nouns(message: &DynamicMessage) -> DynamicMessage {
    let config = from_proto(message.transcode_to().unwrap()).unwrap();
    DynamicMessage::decode(message.descriptor(), to_proto(&config).encode_to_vec().as_slice()).unwrap()
}

#[test]
fn every_field_of_the_schema_survives_the_way_there_and_back() {
    for choice in 0..CHOICES_MAX {
        let message = full(schema::model_config(), choice, &mut 0);
        assert_eq!(message.fields().count(), schema::model_config().fields().len() - (CHOICES_MAX - 1));
        assert!(through_nouns(&message) == message, "choice {choice}");
    }
}

#[test]
fn every_top_level_field_survives_alone() {
    for field in schema::model_config().fields() {
        let mut message = DynamicMessage::new(schema::model_config().clone());
        message.set_field(&field, value(&field, 0, &mut 0));
        assert!(through_nouns(&message) == message, "{}", field.name());
    }
}

#[test]
fn every_empty_message_survives_as_set() {
    for field in schema::model_config().fields().filter(|field| !field.is_list() && !field.is_map()) {
        let Kind::Message(inner) = field.kind() else { continue };
        if inner.name() == "ModelVersionPolicy" {
            continue; // Nothing chosen is the same as no policy.
        }
        let mut message = DynamicMessage::new(schema::model_config().clone());
        message.set_field(&field, Value::Message(DynamicMessage::new(inner)));
        assert!(through_nouns(&message) == message, "{}", field.name());
    }
}

#[test]
fn what_another_printer_writes_is_read_back_the_same() {
    for choice in 0..CHOICES_MAX {
        let message = full(schema::model_config(), choice, &mut 0);
        let config = from_proto(message.transcode_to().unwrap()).unwrap();
        for pretty in [false, true] {
            let text =
                message.to_text_format_with_options(&prost_reflect::text_format::FormatOptions::new().pretty(pretty));
            assert_eq!(parse_text("config.pbtxt", &text).unwrap(), config, "{text}");
        }
    }
}

#[test]
fn a_number_that_names_nothing_is_refused_by_field() {
    let input = proto::ModelInput { data_type: 99, ..Default::default() };
    let error = from_proto(proto::ModelConfig { input: vec![input], ..Default::default() }).unwrap_err();
    assert!(matches!(error, ConfigError::UnknownEnumNumber { field: "data_type", number: 99 }));
    assert_eq!(error.to_string(), "data_type has the value 99, which names nothing");
}

proptest::proptest! {
    #[test]
    fn no_bytes_of_the_wire_make_the_conversion_panic(bytes in proptest::collection::vec(0_u8.., 0..80)) {
        if let Ok(message) = proto::ModelConfig::decode(bytes.as_slice()) {
            let _ = from_proto(message);
        }
    }
}
