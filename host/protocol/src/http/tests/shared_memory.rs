//! Tensors in shared memory: region `R` holds the bytes 0 to 7.

use nereid_inference::ErrorKind;

use super::{decode, echo};

/// An input `X` of two bytes with these parameters, and outputs.
fn request(input: &str, outputs: &str) -> String {
    format!(
        r#"{{"inputs":[{{"name":"X","shape":[2],"datatype":"UINT8","parameters":{{{input}}}}}],"outputs":[{outputs}]}}"#
    )
}

/// The one door: what is answered to an echo of two bytes from region `R`, or why it is refused.
#[track_caller]
fn check(input: &str, outputs: &str, expected: Result<&str, (ErrorKind, &str)>) {
    let found = decode(&request(input, outputs), None).and_then(echo).map(|encoded| encoded.frames.concat());
    match (&found, expected) {
        (Ok(body), Ok(expected)) => assert_eq!(str::from_utf8(body).unwrap(), expected),
        (Err(error), Err(expected)) => assert_eq!((error.kind(), error.message()), expected),
        _ => panic!("found {found:?}, expected {expected:?}"),
    }
}

const FROM_4: &str = r#""shared_memory_region":"R","shared_memory_offset":4,"shared_memory_byte_size":2"#;

#[test]
fn an_input_is_read_from_its_place_in_the_region() {
    let answer = r#"{"model_name":"M","model_version":"3","outputs":[{"name":"X","datatype":"UINT8","shape":[2],"data":[4,5]}]}"#;
    check(FROM_4, r#"{"name":"X"}"#, Ok(answer));
    let decoded = decode(&request(FROM_4, ""), None).unwrap();
    assert!(decoded.request.inputs[0].tensor.buffer().is_external() && !decoded.shared.is_empty());
}

#[test]
fn an_output_in_shared_memory_has_type_and_shape_alone() {
    let outputs = r#"{"name":"X","parameters":{"shared_memory_region":"R","shared_memory_byte_size":8,"binary_data":false}},{"name":"Y"}"#;
    let answer = r#"{"model_name":"M","model_version":"3","outputs":[{"name":"X","datatype":"UINT8","shape":[2]}]}"#;
    check(FROM_4, outputs, Ok(answer));
    let decoded = decode(&request(FROM_4, outputs), None).unwrap();
    assert!(decoded.shared.has_output("X") && !decoded.shared.has_output("Y"));
    let memory = &decoded.request.output_memory[0];
    assert_eq!((&*memory.name, memory.memory.length_bytes()), ("X", 8));
}

#[test]
fn what_the_region_does_not_have_is_refused() {
    use ErrorKind::{Internal, InvalidArgument, NotFound};
    check(r#""shared_memory_region":"S""#, "", Err((NotFound, "no region S")));
    let output = r#"{"name":"X","parameters":{"shared_memory_region":"S"}}"#;
    check(FROM_4, output, Err((NotFound, "no region S")));
    let mismatch = "[request id: <id_unknown>] input byte size mismatch for input 'X' for model 'M'. Expected 2, got 0";
    check(r#""shared_memory_region":"R""#, "", Err((InvalidArgument, mismatch)));
    let text = "Unable to parse 'shared_memory_region': attempt to access JSON non-string as string";
    check(r#""shared_memory_region":1"#, "", Err((Internal, text)));
    for parameter in ["shared_memory_offset", "shared_memory_byte_size"] {
        let text =
            format!("Unable to parse '{parameter}': attempt to access JSON non-unsigned-integer as unsigned-integer");
        check(&format!(r#""shared_memory_region":"R","{parameter}":-1"#), "", Err((Internal, &text)));
    }
    check(
        r#""shared_memory_region":"R","binary_data_size":2"#,
        "",
        Err((
            InvalidArgument,
            "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', \
             'shared_memory_region' in 'parameters'. But set 'binary_data_size' 'shared_memory_region'",
        )),
    );
}
