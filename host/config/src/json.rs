//! The JSON form of a configuration, in the shape that Triton's clients read.
//!
//! Promises: proto field names; scalars and lists are printed even when empty; messages and choices that are not set are
//! absent; 64-bit integers are numbers. Keys of maps are strings, as JSON wants.

use nereid_inference::ModelConfig;
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};

use crate::{schema, to_proto};

/// The configuration as one line of JSON.
#[expect(
    clippy::expect_used,
    reason = "our own bytes decode by our own schema, and a string takes all that is written"
)]
pub fn to_json(model_config: &ModelConfig) -> String {
    let bytes = to_proto(model_config).encode_to_vec();
    let message = DynamicMessage::decode(schema::model_config().clone(), bytes.as_slice()).expect("same schema");
    let options =
        SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false).stringify_64_bit_integers(false);
    let mut json = Vec::with_capacity(2 * bytes.len());
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).expect("memory is writable");
    String::from_utf8(json).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::parse_text;

    fn check(text: &str) -> Value {
        serde_json::from_str(&super::to_json(&parse_text("config.pbtxt", text).unwrap())).unwrap()
    }

    #[test]
    fn scalars_are_printed_even_when_zero_and_messages_only_when_set() {
        let json = check("name: 'm'");
        assert_eq!(json["max_batch_size"], json!(0));
        assert_eq!(json["input"], json!([]));
        assert_eq!(json["parameters"], json!({}));
        for absent in ["version_policy", "dynamic_batching", "ensemble_scheduling", "response_cache", "optimization"] {
            assert_eq!(json.get(absent), None, "{absent}");
        }
    }

    #[test]
    fn wide_integers_are_numbers_and_enums_are_names() {
        let json = check(
            "input { name: 'x' data_type: TYPE_STRING dims: [ -1, 9007199254740993 ] }
             dynamic_batching { max_queue_delay_microseconds: 18446744073709551615
                                priority_queue_policy { key: 2 value { timeout_action: DELAY } } }",
        );
        assert_eq!(json["input"][0]["dims"], json!([-1, 9_007_199_254_740_993_i64]));
        assert_eq!(json["input"][0]["data_type"], json!("TYPE_STRING"));
        assert_eq!(json["input"][0]["format"], json!("FORMAT_NONE"));
        assert_eq!(json["dynamic_batching"]["max_queue_delay_microseconds"], json!(u64::MAX));
        assert_eq!(json["dynamic_batching"]["priority_queue_policy"]["2"]["timeout_action"], json!("DELAY"));
    }

    #[test]
    fn a_chosen_policy_is_printed_inside_its_message() {
        assert_eq!(check("version_policy { all {} }")["version_policy"], json!({ "all": {} }));
    }
}
