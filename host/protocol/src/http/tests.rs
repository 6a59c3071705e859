//! Bodies in, bodies out: every case is a request that is decoded and whose inputs are answered as outputs.

mod bad_input;
mod documents;
mod shared_memory;

use std::time::Instant;

use bytes::Bytes;
use nereid_inference::{InferError, InferResponse, ModelIdentity, ParameterValue, SequenceId, Signature, TensorSpec};
use nereid_tensor::{DataType, Tensor};

use super::*;

const INPUT_BYTES_MAX: usize = 4096;

/// A model `M` with inputs and outputs `X` and `Y`.
pub(super) fn signature() -> Signature {
    let spec =
        |name: &str| TensorSpec { name: name.into(), data_type: DataType::Fp32, dims: vec![-1], optional: false };
    Signature {
        model_name: "M".into(),
        inputs: vec![spec("X"), spec("Y")],
        outputs: vec![spec("X"), spec("Y")],
        max_batch_size: 0,
    }
}

pub(super) fn decode(json: &str, binary: Option<&[u8]>) -> Result<DecodedRequest, InferError> {
    let bytes = Bytes::from([json.as_bytes(), binary.unwrap_or_default()].concat());
    let signature = signature();
    let context = context(&signature);
    decode_infer_request(&InferBody { bytes, json_bytes: binary.map(|_| json.len()) }, &context)
}

pub(super) fn context(signature: &Signature) -> RequestContext<'_> {
    RequestContext {
        signature,
        received: Instant::now(),
        input_bytes_max: INPUT_BYTES_MAX,
        regions: &crate::test_regions::Regions,
    }
}

fn echo(decoded: DecodedRequest) -> Result<EncodedResponse, InferError> {
    let DecodedRequest { request, outputs, .. } = decoded;
    let response = InferResponse { outputs: request.inputs, parameters: request.parameters };
    let identity = ModelIdentity::new("M", 3);
    encode_infer_response(response, &ResponseContext { id: &request.id, identity: &identity, outputs: &outputs })
}

/// The one door: the body as answered, its JSON and its binary part.
#[track_caller]
fn check(json: &str, binary: Option<&[u8]>, expected: (&str, &[u8])) {
    let encoded = echo(decode(json, binary).unwrap()).unwrap();
    let body = encoded.frames.concat();
    let (found_json, found_binary) = body.split_at(encoded.json_bytes.unwrap_or(body.len()));
    assert_eq!((str::from_utf8(found_json).unwrap(), found_binary), expected);
}

/// One JSON input, answered as JSON.
#[track_caller]
fn check_data(data_type: &str, shape: &str, data: &str, expected: &str) {
    let json = format!(r#"{{"inputs":[{{"name":"X","shape":{shape},"datatype":"{data_type}","data":{data}}}]}}"#);
    let shape = shape.replace(' ', "");
    let answer = format!(
        r#"{{"model_name":"M","model_version":"3","outputs":[{{"name":"X","datatype":"{data_type}","shape":{shape},"data":{expected}}}]}}"#
    );
    check(&json, None, (&answer, b""));
}

#[test]
fn every_type_that_json_can_express_comes_back_flat() {
    check_data("BOOL", "[2]", "[true,false]", "[true,false]");
    check_data("UINT8", "[2, 1]", "[[0],[255]]", "[0,255]");
    check_data("UINT16", "[1]", "[65535]", "[65535]");
    check_data("UINT32", "[1]", "[4294967295]", "[4294967295]");
    check_data("UINT64", "[1]", "[18446744073709551615]", "[18446744073709551615]");
    check_data("INT8", "[2]", "[-128, 127]", "[-128,127]");
    check_data("INT16", "[1]", "[-32768]", "[-32768]");
    check_data("INT32", "[2,2]", "[[1,2],[3,4]]", "[1,2,3,4]");
    check_data("INT64", "[1]", "[-9223372036854775808]", "[-9223372036854775808]");
    check_data("FP64", "[3]", "[0.1, 1, -2]", "[0.1,1.0,-2.0]");
    check_data("BYTES", "[3]", r#"["a","ü\n",""]"#, r#"["a","ü\n",""]"#);
}

#[test]
fn single_precision_is_printed_as_a_double() {
    check_data("FP32", "[2]", "[0.1, 1]", "[0.10000000149011612,1.0]");
}

#[test]
fn shapes_may_be_empty_or_scalar() {
    check_data("INT32", "[0,3]", "[]", "[]");
    check_data("INT32", "[]", "[7]", "[7]");
}

#[test]
fn not_a_number_and_infinities_are_bare_words() {
    let tensor = Tensor::from_elements([3], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).unwrap();
    let response = InferResponse::new(vec![nereid_inference::NamedTensor::new("X", tensor)]);
    let (identity, outputs) = (ModelIdentity::new("M", 1), OutputFormats::default());
    let encoded =
        encode_infer_response(response, &ResponseContext { id: "", identity: &identity, outputs: &outputs }).unwrap();
    let json = String::from_utf8(encoded.frames.concat()).unwrap();
    assert!(json.ends_with(r#""data":[NaN,Infinity,-Infinity]}]}"#), "{json}");
}

#[test]
fn json_and_binary_inputs_mix_and_half_precision_passes_in_binary() {
    check(
        r#"{"id":"7","parameters":{"binary_data_output":true},"inputs":[
            {"name":"X","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}},
            {"name":"Y","shape":[1],"datatype":"INT32","data":[5]}]}"#,
        Some(&[1, 2, 3, 4]),
        (
            concat!(
                r#"{"id":"7","model_name":"M","model_version":"3","outputs":["#,
                r#"{"name":"X","datatype":"FP16","shape":[2],"parameters":{"binary_data_size":4}},"#,
                r#"{"name":"Y","datatype":"INT32","shape":[1],"parameters":{"binary_data_size":4}}]}"#
            ),
            &[1, 2, 3, 4, 5, 0, 0, 0],
        ),
    );
}

#[test]
fn a_listed_output_is_json_unless_it_says_binary_itself() {
    check(
        r#"{"parameters":{"binary_data_output":true},
            "inputs":[{"name":"X","shape":[1],"datatype":"UINT8","data":[1]},
                      {"name":"Y","shape":[1],"datatype":"UINT8","data":[2]}],
            "outputs":[{"name":"X"},{"name":"Y","parameters":{"binary_data":true}}]}"#,
        None,
        (
            concat!(
                r#"{"model_name":"M","model_version":"3","outputs":["#,
                r#"{"name":"X","datatype":"UINT8","shape":[1],"data":[1]},"#,
                r#"{"name":"Y","datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}}]}"#
            ),
            &[2],
        ),
    );
}

#[test]
fn outputs_that_were_not_asked_for_are_left_out_and_parameters_come_back() {
    check(
        r#"{"parameters":{"a":1,"b":true,"c":"x","d":1.5},
            "inputs":[{"name":"X","shape":[1],"datatype":"BOOL","data":[true]},
                      {"name":"Y","shape":[1],"datatype":"UINT8","data":[2]}],
            "outputs":[{"name":"Y"}]}"#,
        None,
        (
            concat!(
                r#"{"model_name":"M","model_version":"3","parameters":{"a":1,"b":true,"c":"x","d":1.5},"#,
                r#""outputs":[{"name":"Y","datatype":"UINT8","shape":[1],"data":[2]}]}"#
            ),
            b"",
        ),
    );
}

#[test]
fn reserved_parameters_become_fields() {
    let json = r#"{"parameters":{"sequence_id":9,"sequence_start":true,"priority":2,"timeout":1500,"mine":1},
                   "inputs":[]}"#;
    let request = decode(json, None).unwrap().request;
    let sequence = request.sequence.unwrap();
    assert_eq!((sequence.id, sequence.start, sequence.end), (SequenceId::Number(9), true, false));
    assert_eq!((request.priority, request.timeout.unwrap().as_micros()), (2, 1500));
    assert_eq!(request.parameters.iter().collect::<Vec<_>>(), [("mine", &ParameterValue::Int(1))]);
    let json = r#"{"parameters":{"sequence_id":"s","timeout":0},"inputs":[]}"#;
    let request = decode(json, None).unwrap().request;
    assert_eq!((request.sequence.unwrap().id, request.timeout), (SequenceId::Text("s".into()), None));
}

#[test]
fn binary_inputs_are_views_of_the_body_and_large_binary_outputs_are_not_copied() {
    let json = r#"{"parameters":{"binary_data_output":true},
                   "inputs":[{"name":"X","shape":[2048],"datatype":"UINT8","parameters":{"binary_data_size":2048}}]}"#;
    let body = Bytes::from([json.as_bytes(), &[7; 2048]].concat());
    let tensor_address = body[json.len()..].as_ptr();
    let signature = signature();
    let context = context(&signature);
    let decoded = decode_infer_request(&InferBody { bytes: body, json_bytes: Some(json.len()) }, &context).unwrap();
    assert_eq!(decoded.request.inputs[0].tensor.buffer().as_slice().as_ptr(), tensor_address);
    let encoded = echo(decoded).unwrap();
    assert_eq!(encoded.frames.len(), 2);
    assert_eq!(encoded.frames[1].as_ptr(), tensor_address);
}

#[test]
fn a_zero_byte_binary_output_reports_its_size_and_leaves_the_body_json() {
    let json =
        r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"X","shape":[0],"datatype":"FP32","data":[]}]}"#;
    let encoded = echo(decode(json, None).unwrap()).unwrap();
    assert_eq!(encoded.json_bytes, None);
    let body = String::from_utf8(encoded.frames.concat()).unwrap();
    assert!(body.ends_with(r#""shape":[0],"parameters":{"binary_data_size":0}}]}"#), "{body}");
}

#[test]
fn a_raw_request_takes_its_shape_from_the_model_and_its_length() {
    let mut signature = signature();
    signature.inputs.truncate(1);
    signature.max_batch_size = 8;
    let context = context(&signature);
    let decoded = decode_raw_infer_request(Bytes::from_static(&[0; 12]), &context).unwrap();
    assert_eq!(decoded.request.inputs[0].tensor.shape().to_string(), "[1,3]");
    assert!(decoded.outputs.all_binary);
    let error = decode_raw_infer_request(Bytes::from_static(&[0; 13]), &context).unwrap_err();
    assert!(
        error.message().ends_with("input byte size mismatch for input 'X' for model 'M'. Expected 12, got 13"),
        "{error}"
    );
}
