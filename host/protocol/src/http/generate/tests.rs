//! Bodies in, bodies out: the inputs and parameters of a request are answered as outputs and parameters.

use nereid_inference::{
    ErrorKind::{self, Internal, InvalidArgument},
    InferResponse, ModelIdentity,
};
use nereid_tensor::DataType;
use proptest::prelude::*;

use super::*;
use crate::http::{encode_event, encode_generate_response};

/// Inputs of a model `M` as (name, type, dims).
type Inputs<'a> = &'a [(&'a str, DataType, &'a [i64])];

const TEXT: Inputs<'_> = &[("T", DataType::Bytes, &[1])];
const NUMBERS: Inputs<'_> = &[("X", DataType::Int32, &[-1])];

fn decode(inputs: Inputs<'_>, max_batch_size: u64, body: &str) -> Result<InferRequest, InferError> {
    let spec = |(name, data_type, dims): &(&str, DataType, &[i64])| TensorSpec {
        name: (*name).into(),
        data_type: *data_type,
        dims: dims.to_vec(),
        optional: false,
    };
    let inputs = inputs.iter().map(spec).collect();
    let signature = Signature { model_name: "M".into(), inputs, outputs: Vec::new(), max_batch_size };
    decode_generate_request(body.as_bytes(), &signature, Instant::now())
}

fn echo(request: InferRequest) -> Result<String, InferError> {
    let response = InferResponse { outputs: request.inputs, parameters: request.parameters };
    let json = encode_generate_response(&response, &request.id, &ModelIdentity::new("M", 3))?;
    Ok(String::from_utf8(json).unwrap())
}

/// The one door: what follows the model's name and version in the answer.
#[track_caller]
fn check(inputs: Inputs<'_>, body: &str, expected: &str) {
    let answer = echo(decode(inputs, 0, body).unwrap()).unwrap();
    assert_eq!(answer, format!(r#"{{"model_name":"M","model_version":"3"{expected}}}"#));
}

#[track_caller]
fn check_shape(max_batch_size: u64, dims: &[i64], body: &str, expected: &str) {
    let request = decode(&[("X", DataType::Int32, dims)], max_batch_size, body).unwrap();
    assert_eq!(request.inputs[0].tensor.shape().to_string(), expected);
}

#[track_caller]
fn check_error(inputs: Inputs<'_>, body: &str, (kind, text): (ErrorKind, &str)) {
    let error = decode(inputs, 0, body).and_then(echo).unwrap_err();
    assert_eq!((error.kind(), error.message()), (kind, text));
}

#[test]
fn every_type_that_json_can_express_comes_back_as_an_element_or_an_array() {
    for (data_type, element, array) in [
        (DataType::Bool, "true", "[true,false]"),
        (DataType::Uint8, "255", "[0,255]"),
        (DataType::Uint16, "7", "[0,65535]"),
        (DataType::Uint32, "7", "[0,4294967295]"),
        (DataType::Uint64, "7", "[0,18446744073709551615]"),
        (DataType::Int8, "-7", "[-128,127]"),
        (DataType::Int16, "-7", "[-32768,7]"),
        (DataType::Int32, "-7", "[-2147483648,7]"),
        (DataType::Int64, "-7", "[-9223372036854775808,7]"),
        (DataType::Fp32, "0.5", "[0.5,-1.0]"),
        (DataType::Fp64, "0.1", "[0.1,1e300]"),
        (DataType::Bytes, r#""""#, r#"["a\n","ü"]"#),
    ] {
        let inputs: Inputs<'_> = &[("X", data_type, &[-1])];
        check(inputs, &format!(r#"{{"X":{element}}}"#), &format!(r#","X":{element}"#));
        check(inputs, &format!(r#"{{"X":[{element}]}}"#), &format!(r#","X":{element}"#));
        check(inputs, &format!(r#"{{"X": {array} }}"#), &format!(r#","X":{array}"#));
        check(inputs, r#"{"X":[]}"#, r#","X":[]"#);
    }
}

#[test]
fn other_scalars_are_parameters_beside_the_inputs_or_in_parameters() {
    let all = r#"{"stream":true,"T":"hi","n":3,"parameters":{"top_p":0.5,"stop":"x"},"seed":18446744073709551615}"#;
    check(TEXT, all, r#","T":"hi","stream":true,"n":3,"top_p":0.5,"stop":"x","seed":18446744073709551615"#);
    check(TEXT, r#"{"parameters":{"T":["hi"],"id":"kept"}}"#, r#","T":"hi""#);
    let request = decode(TEXT, 0, r#"{"id":"é","T":"hi"}"#).unwrap();
    assert_eq!((request.parameters.len(), request.id.as_str()), (0, "é"));
    assert_eq!(echo(request).unwrap(), r#"{"id":"é","model_name":"M","model_version":"3","T":"hi"}"#);
}

#[test]
fn shapes_are_deduced_from_the_number_of_elements() {
    check_shape(0, &[-1], r#"{"X":[1,2,3]}"#, "[3]");
    check_shape(0, &[-1, 2, -1], r#"{"X":[1,2,3,4]}"#, "[1,2,2]");
    check_shape(0, &[2, 2], r#"{"X":[1,2,3,4]}"#, "[2,2]");
    check_shape(0, &[], r#"{"X":1}"#, "[]");
    check_shape(8, &[-1], r#"{"X":[1,2,3]}"#, "[1,3]");
    check_shape(8, &[1], r#"{"X":1}"#, "[1,1]");
    check_shape(8, &[2], r#"{"X":[1,2,3,4]}"#, "[2,2]");
}

#[test]
fn elements_that_do_not_fill_the_shape_are_refused() {
    let text = "The schema can not convert input 'X' to tensor with proper shape";
    for (dims, body) in
        [(&[2][..], r#"{"X":[1,2,3]}"#), (&[1], r#"{"X":[1,2]}"#), (&[0], r#"{"X":[1]}"#), (&[1], r#"{"X":[]}"#)]
    {
        check_error(&[("X", DataType::Int32, dims)], body, (InvalidArgument, text));
    }
    let nested = "Unable to parse 'data': Shape does not match true shape of 'data' field";
    check_error(NUMBERS, r#"{"X":[[1,2],[3,4]]}"#, (Internal, nested));
    let few = "Failed to parse 'data' field: shape does not match true shape";
    check_error(NUMBERS, r#"{"X":[[],[]]}"#, (Internal, few));
    let strings = "[request id: <id_unknown>] unexpected number of string elements 2 for inference input 'T' for \
                   model 'M', expecting 1";
    check_error(TEXT, r#"{"T":[["a","b"]]}"#, (InvalidArgument, strings));
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    let signed = "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer";
    for value in ["1.5", "\"1\"", "null", "{}", "[true]"] {
        check_error(NUMBERS, &format!(r#"{{"X":{value}}}"#), (Internal, signed));
    }
    let text = "Unable to parse JSON bytes array: attempt to access JSON non-string as string";
    check_error(TEXT, r#"{"T":1}"#, (Internal, text));
    let id = "Unable to parse 'id': attempt to access JSON non-string as string";
    check_error(TEXT, r#"{"id":1,"T":""}"#, (Internal, id));
    let half = "receiving FP16 data via JSON is not supported. Please use the binary data format for input H";
    check_error(&[("H", DataType::Fp16, &[1])], r#"{"H":1.0}"#, (InvalidArgument, half));
}

#[test]
fn parameters_must_be_scalars_in_a_flat_object() {
    let wrong = "parameter 'nested' has invalid type. It should be either 'int', 'bool', or 'string'.";
    check_error(TEXT, r#"{"nested":{}}"#, (InvalidArgument, wrong));
    let inside = format!("Converting keyword: 'parameters': {wrong}");
    check_error(TEXT, r#"{"parameters":{"nested":[1]}}"#, (InvalidArgument, &inside));
    let object = "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object";
    check_error(TEXT, r#"{"parameters":1}"#, (Internal, object));
    let name = "Keyword 'parameters' for nested schema also given as input tensor name";
    check_error(&[("parameters", DataType::Int32, &[1])], r#"{"parameters":1}"#, (InvalidArgument, name));
}

#[test]
fn an_input_may_come_once() {
    let text = "input 'T' already exists in request";
    check_error(TEXT, r#"{"T":"a","T":"b"}"#, (InvalidArgument, text));
    let text = "Converting keyword: 'parameters': input 'T' already exists in request";
    check_error(TEXT, r#"{"T":"a","parameters":{"T":"b"}}"#, (InvalidArgument, text));
}

#[test]
fn malformed_json_and_objects_without_end_are_refused() {
    for body in ["", "{", "[]", "1", r#"{"T":}"#, r#"{"T":"a"} x"#] {
        let error = decode(TEXT, 0, body).unwrap_err();
        assert!(error.message().starts_with("failed to parse the request JSON buffer: "), "{error}");
        assert_eq!(error.kind(), Internal);
    }
    let many: Vec<String> = (0..=MEMBERS_MAX).map(|index| format!(r#""k{index}":1"#)).collect();
    let error = decode(TEXT, 0, &format!("{{{}}}", many.join(","))).unwrap_err();
    assert!(error.message().contains("an object of more than 1024 members"), "{error}");
}

#[test]
fn names_of_the_protocol_win_over_parameters_and_these_over_outputs() {
    let tensor = Tensor::from_elements([1], &[1.5_f32]).unwrap();
    let mut response = InferResponse::new(["id", "a", "b"].map(|name| NamedTensor::new(name, tensor.clone())).to_vec());
    for name in ["model_name", "b"] {
        response.parameters.insert(name, nereid_inference::ParameterValue::Int(7));
    }
    let json = encode_generate_response(&response, "", &ModelIdentity::new("M", 1)).unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), r#"{"model_name":"M","model_version":"1","a":1.5,"b":7}"#);
}

#[test]
fn outputs_that_json_cannot_express_are_refused_and_odd_floats_are_bare_words() {
    let encode = |tensor| {
        let response = InferResponse::new(vec![NamedTensor::new("X", tensor)]);
        encode_generate_response(&response, "", &ModelIdentity::new("M", 1))
    };
    let half = encode(Tensor::new(DataType::Bf16, [1].into(), vec![0, 0].into()).unwrap()).unwrap_err();
    assert!(half.message().starts_with("sending BF16 data via JSON is not supported"), "{half}");
    let bytes = encode(Tensor::from_byte_strings([2], &[b"a".as_slice(), b"\xff"]).unwrap()).unwrap_err();
    assert_eq!(bytes.message(), "element 1 of output 'X' is not UTF-8 and cannot be sent as JSON");
    let floats = encode(Tensor::from_elements([3], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).unwrap()).unwrap();
    assert!(floats.ends_with(br#""X":[NaN,Infinity,-Infinity]}"#));
}

#[test]
fn an_event_is_one_line_and_an_empty_one() {
    assert_eq!(encode_event(br#"{"a":"b\n"}"#), b"data: {\"a\":\"b\\n\"}\n\n");
}

proptest! {
    #[test]
    fn no_body_panics(body in r#"\{("(X|id|parameters|k)":(1|-2\.5|"a"|null|true|\[(1,?){0,3}\]|\{("X":1)?\}),?){0,4}\}?"#) {
        let _ = decode(NUMBERS, 4, &body).map(echo);
    }
}
