//! What a broken or hostile client sends, and what it is told.

use nereid_inference::ErrorKind::{self, Internal, InvalidArgument};
use proptest::prelude::*;

use super::{super::HeaderLength, decode, echo};

/// The one door: kind and the end of the text.
#[track_caller]
fn check(json: &str, binary: Option<&[u8]>, (kind, text): (ErrorKind, &str)) {
    let error = decode(json, binary).unwrap_err();
    assert!(error.message().contains(text), "{error}");
    assert_eq!(error.kind(), kind, "{error}");
}

/// One JSON input.
#[track_caller]
fn check_data(data_type: &str, shape: &str, data: &str, expected: (ErrorKind, &str)) {
    let json = format!(r#"{{"inputs":[{{"name":"X","shape":{shape},"datatype":"{data_type}","data":{data}}}]}}"#);
    check(&json, None, expected);
}

#[test]
fn elements_of_the_wrong_type_are_refused() {
    let unsigned = "Unable to parse 'data': attempt to access JSON non-unsigned-integer as unsigned-integer";
    let signed = "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer";
    let bytes = "Unable to parse JSON bytes array: attempt to access JSON non-string as string";
    check_data("INT32", "[1]", "[1.5]", (Internal, signed));
    check_data("UINT8", "[1]", "[-1]", (Internal, unsigned));
    check_data("UINT8", "[1]", "[null]", (Internal, unsigned));
    check_data("UINT8", "[1]", "[{}]", (Internal, unsigned));
    check_data(
        "FP32",
        "[1]",
        r#"["1"]"#,
        (Internal, "Unable to parse 'data': attempt to access JSON non-number as double"),
    );
    check_data(
        "BOOL",
        "[1]",
        "[1]",
        (Internal, "Unable to parse 'data': attempt to access JSON non-boolean as boolean"),
    );
    check_data("BYTES", "[1]", "[1]", (Internal, bytes));
    check_data("UINT8", "[1]", "[256]", (InvalidArgument, "value 256 does not fit UINT8"));
    check_data("INT8", "[1]", "[-129]", (InvalidArgument, "value -129 does not fit INT8"));
}

#[test]
fn half_precision_in_json_is_refused_by_name() {
    let text = "data via JSON is not supported. Please use the binary data format for input X";
    check_data("FP16", "[1]", "[1.0]", (InvalidArgument, &format!("receiving FP16 {text}")));
    check_data("BF16", "[1]", "[1.0]", (InvalidArgument, &format!("receiving BF16 {text}")));
    let json = r#"{"inputs":[{"name":"X","shape":[1],"datatype":"FP16","parameters":{"binary_data_size":2}}]}"#;
    let error = echo(decode(json, Some(&[0, 0])).unwrap()).unwrap_err();
    assert_eq!(
        error.message(),
        "sending FP16 data via JSON is not supported. Please use the binary data format for output"
    );
}

#[test]
fn too_few_and_too_many_elements_are_refused() {
    let few = "Failed to parse 'data' field: shape does not match true shape";
    let many = "Unable to parse 'data': Shape does not match true shape of 'data' field";
    check_data("INT32", "[3]", "[1,2]", (Internal, few));
    check_data("INT32", "[1000]", "[1,2]", (Internal, few));
    check_data("INT32", "[1]", "[1,2]", (Internal, many));
    check_data(
        "BYTES",
        "[3]",
        r#"["a"]"#,
        (InvalidArgument, "expected 3 string elements for inference input 'X' for model 'M', got 1"),
    );
    check_data(
        "BYTES",
        "[1]",
        r#"["a","b"]"#,
        (InvalidArgument, "unexpected number of string elements 2 for inference input 'X' for model 'M', expecting 1"),
    );
}

#[test]
fn shapes_that_overflow_or_make_no_sense_are_refused() {
    let not_unsigned = "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer";
    check_data(
        "FP32",
        "[4611686018427387904,2]",
        "[1]",
        (
            InvalidArgument,
            "shape [4611686018427387904,2] causes total element count to exceed maximum size of 9223372036854775807",
        ),
    );
    check_data(
        "FP32",
        "[4,1152921504606846978]",
        "[1]",
        (InvalidArgument, "byte size overflow for input 'X': element count (4611686018427387912) * data type size (4)"),
    );
    check_data(
        "FP32",
        "[18446744073709551615]",
        "[1]",
        (
            InvalidArgument,
            "invalid shape for input 'X': shape [18446744073709551615] contains one or more invalid dimensions",
        ),
    );
    check_data("FP32", "[2,-5]", "[1]", (Internal, not_unsigned));
    check_data("FP32", "[1.0]", "[1]", (Internal, not_unsigned));
    check_data("FP32", "4", "[1]", (Internal, "Unable to parse 'shape': attempt to access JSON non-array as array"));
    check_data(
        "FP32",
        "[2000]",
        "[1]",
        (
            InvalidArgument,
            "JSON input 'X' has a byte_size (8000 bytes) that exceeds the maximum allowed value of 4096 bytes",
        ),
    );
}

#[test]
fn deep_data_is_refused_where_triton_refuses_it() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let json = |data: &str| format!(r#"{{"inputs":[{{"name":"X","shape":[1],"datatype":"INT32","data":{data}}}]}}"#);
    assert!(decode(&json(&nested(99)), None).is_ok());
    check(&json(&nested(100)), None, (InvalidArgument, "JSON nesting depth exceeds maximum allowed limit (100)"));
    check(&json(&nested(1_000_000)), None, (InvalidArgument, "JSON nesting depth exceeds maximum allowed limit (100)"));
    check(&format!(r#"{{"id":{}"#, "[".repeat(1_000_000)), None, (Internal, "failed to parse the request JSON buffer"));
}

#[test]
fn malformed_json_is_refused_with_the_place() {
    check("", None, (Internal, "failed to parse the request JSON buffer: EOF"));
    check(r#"{"inputs":["#, None, (Internal, "line 1 column 11"));
    check("[1]", None, (Internal, "failed to parse the request JSON buffer"));
    check(r#"{"inputs":7}"#, None, (Internal, "failed to parse the request JSON buffer: invalid type"));
    check("{}", None, (Internal, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"));
    check(
        r#"{"id":7,"inputs":[]}"#,
        None,
        (Internal, "Unable to parse 'id': attempt to access JSON non-string as string"),
    );
    check(
        r#"{"inputs":[{"data":[1]}]}"#,
        None,
        (Internal, "Unable to parse 'name': attempt to access non-existing object member 'name'"),
    );
    check_data("FLOAT", "[1]", "[1]", (InvalidArgument, "invalid datatype for input X: unknown data type 'FLOAT'"));
    check_data("FP32", "[1]", "7", (Internal, "Unable to parse 'data': attempt to access JSON non-array as array"));
}

#[test]
fn exactly_one_place_for_the_elements() {
    let but = "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', \
               'shared_memory_region' in 'parameters'. But";
    let input = |members: &str| format!(r#"{{"inputs":[{{"name":"X","shape":[1],"datatype":"UINT8"{members}}}]}}"#);
    check(&input(""), None, (InvalidArgument, &format!("{but} no field is set")));
    check(
        &input(r#","data":[1],"parameters":{"binary_data_size":1}"#),
        None,
        (InvalidArgument, &format!("{but} set 'data' 'binary_data_size'")),
    );
}

#[test]
fn binary_parts_must_fill_the_body_and_their_shape_exactly() {
    let input = |size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"X","shape":[2],"datatype":"UINT8","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    check(
        &input("2"),
        Some(&[1]),
        (InvalidArgument, "unexpected size for input 'X', expecting 1 additional bytes for model 'M'"),
    );
    check(&input("2"), Some(&[1, 2, 3]), (InvalidArgument, "unexpected additional input data for model 'M'"));
    check(
        &input("3"),
        Some(&[1, 2, 3]),
        (
            InvalidArgument,
            "[request id: <id_unknown>] input byte size mismatch for input 'X' for model 'M'. Expected 2, got 3",
        ),
    );
    check(&input("18446744073709551615"), Some(&[1]), (InvalidArgument, "unexpected size for input 'X'"));
    check(&input("-1"), Some(&[1]), (Internal, "Unable to parse 'binary_data_size'"));
    check(&input("2"), None, (InvalidArgument, "must specify valid 'Infer-Header-Content-Length'"));
    let strings = r#"{"inputs":[{"name":"X","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}]}"#;
    check(
        strings,
        Some(&[9, 0, 0, 0, 1]),
        (InvalidArgument, "incomplete string length indicator for inference input 'X'"),
    );
}

#[test]
fn names_may_come_once_and_reserved_parameters_never() {
    let input = r#"{"name":"X","shape":[0],"datatype":"UINT8","data":[]}"#;
    check(
        &format!(r#"{{"inputs":[{input},{input}]}}"#),
        None,
        (InvalidArgument, "input 'X' already exists in request"),
    );
    check(
        r#"{"inputs":[],"outputs":[{"name":"Y"},{"name":"Y"}]}"#,
        None,
        (InvalidArgument, "output 'Y' already exists in request"),
    );
    check(
        r#"{"parameters":{"triton_x":1},"inputs":[]}"#,
        None,
        (InvalidArgument, "parameter keys starting with 'triton_' are reserved"),
    );
    check(
        r#"{"parameters":{"x":[1]},"inputs":[]}"#,
        None,
        (InvalidArgument, "parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'."),
    );
    check(r#"{"parameters":{"priority":-1},"inputs":[]}"#, None, (Internal, "Unable to parse 'priority'"));
    check(r#"{"parameters":{"sequence_start":1},"inputs":[]}"#, None, (Internal, "Unable to parse 'sequence_start'"));
    check(r#"{"parameters":7,"inputs":[]}"#, None, (Internal, "Unable to parse 'parameters'"));
    let long = "x".repeat(129);
    check(
        &format!(r#"{{"parameters":{{"sequence_id":"{long}"}},"inputs":[]}}"#),
        None,
        (InvalidArgument, "cannot be longer than 128"),
    );
    let many: Vec<String> = (0..1025).map(|index| format!(r#""p{index}":1"#)).collect();
    check(
        &format!(r#"{{"parameters":{{{}}},"inputs":[]}}"#, many.join(",")),
        None,
        (Internal, "more than 1024 parameters"),
    );
}

#[test]
fn outputs_refuse_what_contradicts_itself() {
    let output = |members: &str| format!(r#"{{"inputs":[],"outputs":[{{"name":"X","parameters":{{{members}}}}}]}}"#);
    let not_unsigned = "Unable to set 'classification': attempt to access JSON non-unsigned-integer";
    check(&output(r#""classification":-1"#), None, (Internal, not_unsigned));
    check(&output(r#""classification":"3""#), None, (Internal, not_unsigned));
    check(
        &output(r#""shared_memory_region":"r","classification":3"#),
        None,
        (InvalidArgument, "Output can't set both 'shared_memory_region' and 'classification'"),
    );
    check(
        &output(r#""shared_memory_region":"r","binary_data":true"#),
        None,
        (InvalidArgument, "Output can't set both 'shared_memory_region' and 'binary_data'"),
    );
    check(&output(r#""binary_data":1"#), None, (Internal, "Unable to parse 'binary_data'"));
}

#[test]
fn a_wrong_header_length_is_refused_with_what_was_found() {
    let text = |value: &str| match HeaderLength::parse(value.as_bytes()).and_then(|length| length.within(10)) {
        Ok(length) => length.to_string(),
        Err(error) => error.message().to_owned(),
    };
    assert_eq!(text("10"), "10");
    assert_eq!(text(" 3 "), "3");
    assert_eq!(text("abc"), "Unable to parse Inference-Header-Content-Length, got: abc");
    assert_eq!(text(""), "Unable to parse Inference-Header-Content-Length, got: ");
    assert_eq!(text("11"), "inference header size should be in range (0, 10), got: 11");
    assert_eq!(text("-1"), "inference header size should be in range (0, 10), got: -1");
    assert_eq!(
        text("99999999999"),
        "Unable to parse Inference-Header-Content-Length, value is out of range [ -2147483648, 2147483647 ], got: \
         99999999999"
    );
}

proptest! {
    #[test]
    fn no_body_makes_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..256), json_bytes in 0_usize..300) {
        let body = bytes::Bytes::from(body);
        let signature = super::signature();
        let context = super::context(&signature);
        let json_bytes = Some(json_bytes).filter(|length| *length <= body.len());
        let _ = super::decode_infer_request(&super::InferBody { bytes: body.clone(), json_bytes }, &context);
        let _ = super::decode_raw_infer_request(body, &context);
    }

    #[test]
    fn no_header_like_json_makes_the_decoder_panic(
        shape in proptest::collection::vec(any::<u64>(), 0..4),
        data_type in proptest::sample::select(nereid_tensor::DataType::ALL.to_vec()),
        data in r#"\[?[0-9,\.\-\[\]"a-z]{0,24}\]?"#,
        size in proptest::option::of(any::<u64>()),
        binary in proptest::collection::vec(any::<u8>(), 0..32),
    ) {
        let place = size.map_or(format!(r#""data":{data}"#), |size| format!(r#""parameters":{{"binary_data_size":{size}}}"#));
        let json = format!(r#"{{"inputs":[{{"name":"X","shape":{shape:?},"datatype":"{data_type}",{place}}}]}}"#);
        if let Ok(decoded) = decode(&json, Some(&binary)) {
            let _ = echo(decoded);
        }
    }
}
