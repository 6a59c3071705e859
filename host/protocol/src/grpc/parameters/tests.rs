//! Parameters as they are sent, and what they mean.

use nereid_inference::{ParameterValue, SequenceId};

use super::{ParameterChoice::*, *};

fn decode(entries: &[(&str, ParameterChoice)]) -> Result<RequestParameters, String> {
    let parameter = |value: &ParameterChoice| InferParameter { parameter_choice: Some(value.clone()) };
    let entries = entries.iter().map(|(key, value)| (key.to_string(), parameter(value))).collect();
    decode_parameters(entries).map_err(|error| error.message().to_owned())
}

#[track_caller]
fn check_refused(key: &str, value: ParameterChoice, expected: &str) {
    assert_eq!(decode(&[(key, value)]).unwrap_err(), expected);
}

#[test]
fn reserved_keys_do_not_reach_the_model() {
    let decoded = decode(&[
        ("sequence_id", Int64Param(7)),
        ("sequence_start", BoolParam(true)),
        ("sequence_end", BoolParam(false)),
        ("priority", Uint64Param(2)),
        ("timeout", Int64Param(1500)),
        ("triton_enable_empty_final_response", BoolParam(true)),
    ])
    .unwrap();
    assert_eq!(decoded.sequence, Some(SequenceFlags { id: SequenceId::Number(7), start: true, end: false }));
    assert_eq!((decoded.priority, decoded.timeout), (2, Some(Duration::from_micros(1500))));
    assert!(decoded.empty_final_response);
    assert!(decoded.custom.is_empty());
}

#[test]
fn other_keys_reach_the_model_with_their_types() {
    let decoded = decode(&[
        ("a", BoolParam(true)),
        ("b", Int64Param(-1)),
        ("c", StringParam("x".into())),
        ("d", DoubleParam(0.5)),
    ]);
    let custom = decoded.unwrap().custom;
    let expected = [
        ("a", ParameterValue::Bool(true)),
        ("b", ParameterValue::Int(-1)),
        ("c", ParameterValue::String("x".into())),
        ("d", ParameterValue::Double(0.5)),
    ];
    assert!(custom.iter().eq(expected.iter().map(|(key, value)| (*key, value))), "{custom:?}");
}

#[test]
fn zero_and_the_empty_text_are_no_sequence() {
    assert_eq!(decode(&[("sequence_id", Int64Param(0))]).unwrap().sequence, None);
    assert_eq!(decode(&[("sequence_id", StringParam(String::new()))]).unwrap().sequence, None);
    let flags = SequenceFlags { id: SequenceId::Number(0), start: true, end: false };
    assert_eq!(decode(&[("sequence_start", BoolParam(true))]).unwrap().sequence, Some(flags));
    let id = decode(&[("sequence_id", Int64Param(-1))]).unwrap().sequence.unwrap().id;
    assert_eq!(id, SequenceId::Number(u64::MAX));
}

#[test]
fn zero_leaves_the_timeout_to_the_model() {
    assert_eq!(decode(&[("timeout", Int64Param(0))]).unwrap().timeout, None);
}

#[test]
fn wrong_types_are_refused_in_tritons_words() {
    let cases = [
        ("sequence_id", BoolParam(true), "int64_param or string_param"),
        ("sequence_start", Int64Param(1), "bool_param"),
        ("sequence_end", StringParam("true".into()), "bool_param"),
        ("priority", StringParam("1".into()), "int64_param or uint64_param"),
        ("timeout", Uint64Param(1), "int64_param"),
        ("triton_enable_empty_final_response", Int64Param(1), "bool_param"),
        ("mine", Uint64Param(1), "int64_param, bool_param, or string_param"),
    ];
    for (key, value, expected) in cases {
        check_refused(key, value, &format!("invalid value type for '{key}' parameter, expected {expected}."));
    }
}

#[test]
fn negative_numbers_are_refused() {
    check_refused("priority", Int64Param(-1), "invalid value for 'priority', expected value >= 0.");
    check_refused("timeout", Int64Param(-1), "invalid value for 'timeout', expected value >= 0.");
}

#[test]
fn keys_of_the_protocol_are_refused() {
    check_refused(
        "triton_x",
        BoolParam(true),
        "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with \
         'triton_' are allowed: triton_enable_empty_final_response",
    );
}

#[test]
fn a_sequence_id_that_is_too_long_is_refused() {
    check_refused(
        "sequence_id",
        StringParam("x".repeat(129)),
        "string correlation ID cannot be longer than 128 characters, got 129",
    );
}

#[test]
fn returned_parameters_keep_their_types() {
    let values = [
        ("bool", ParameterValue::Bool(true), BoolParam(true)),
        ("int", ParameterValue::Int(-2), Int64Param(-2)),
        ("uint", ParameterValue::Uint(u64::MAX), Uint64Param(u64::MAX)),
        ("double", ParameterValue::Double(0.5), DoubleParam(0.5)),
        ("text", ParameterValue::String("x".into()), StringParam("x".into())),
    ];
    let parameters = values.iter().map(|(key, value, _)| (key.to_string(), value.clone())).collect();
    let encoded = encode_parameters(&parameters);
    for (key, _, expected) in values {
        assert_eq!(encoded[key].parameter_choice, Some(expected));
    }
}
