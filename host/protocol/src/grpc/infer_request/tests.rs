//! Requests as clients send them, good and bad.

use std::collections::BTreeMap;

use bytes::Bytes;
use nereid_inference::ErrorKind;
use nereid_tensor::DataType;

use super::*;
use crate::grpc::proto::{
    InferParameter, InferTensorContents, infer_parameter::ParameterChoice, model_infer_request::InferInputTensor,
};
use crate::test_regions::Regions;

fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor { name: name.into(), datatype: datatype.into(), shape: shape.into(), ..Default::default() }
}

fn typed(datatype: &str, shape: &[i64], contents: InferTensorContents) -> ModelInferRequest {
    let input = InferInputTensor { contents: Some(contents), ..input("X", datatype, shape) };
    ModelInferRequest { model_name: "M".into(), inputs: vec![input], ..Default::default() }
}

fn raw(inputs: Vec<InferInputTensor>, contents: &[&'static [u8]]) -> ModelInferRequest {
    let raw_input_contents = contents.iter().map(|bytes| Bytes::from_static(bytes)).collect();
    ModelInferRequest { model_name: "M".into(), inputs, raw_input_contents, ..Default::default() }
}

fn decode(message: ModelInferRequest) -> Result<InferRequest, InferError> {
    decode_infer_request(message, Instant::now(), &Regions).map(|decoded| decoded.request)
}

/// The one door for what is accepted: the first input's bytes.
#[track_caller]
fn check(message: ModelInferRequest, expected: &[u8]) {
    let request = decode(message).unwrap();
    assert_eq!(request.inputs[0].tensor.buffer().as_slice(), expected);
}

/// The one door for what is refused.
#[track_caller]
fn check_refused(message: ModelInferRequest, expected: &str) {
    let error = decode(message).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, expected));
}

fn with_parameter(key: &str) -> std::collections::BTreeMap<String, InferParameter> {
    let value = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(1)) };
    [(key.to_owned(), value)].into()
}

#[test]
fn raw_contents_become_views_of_the_message() {
    let message = raw(vec![input("A", "INT32", &[1]), input("B", "UINT8", &[2])], &[&[1, 0, 0, 0], &[7, 8]]);
    let addresses: Vec<_> = message.raw_input_contents.iter().map(|bytes| bytes.as_ptr()).collect();
    let request = decode(message).unwrap();
    let found: Vec<_> = request.inputs.iter().map(|input| input.tensor.buffer().as_slice().as_ptr()).collect();
    assert_eq!(found, addresses);
    assert_eq!(request.inputs[1].tensor.data_type(), DataType::Uint8);
}

#[test]
fn typed_contents_of_every_type_become_the_protocols_bytes() {
    let int = |values: &[i32]| InferTensorContents { int_contents: values.into(), ..Default::default() };
    let uint = |values: &[u32]| InferTensorContents { uint_contents: values.into(), ..Default::default() };
    let contents = InferTensorContents::default;
    check(typed("BOOL", &[2], InferTensorContents { bool_contents: vec![true, false], ..contents() }), &[1, 0]);
    check(typed("INT8", &[2], int(&[-1, 127])), &[255, 127]);
    check(typed("INT16", &[1], int(&[-2])), &[254, 255]);
    check(typed("INT32", &[1], int(&[1])), &[1, 0, 0, 0]);
    check(typed("INT64", &[1], InferTensorContents { int64_contents: vec![2], ..contents() }), &2_i64.to_le_bytes());
    check(typed("UINT8", &[1], uint(&[255])), &[255]);
    check(typed("UINT16", &[1], uint(&[256])), &[0, 1]);
    check(typed("UINT32", &[1], uint(&[1])), &[1, 0, 0, 0]);
    check(typed("UINT64", &[1], InferTensorContents { uint64_contents: vec![3], ..contents() }), &3_u64.to_le_bytes());
    check(typed("FP32", &[1], InferTensorContents { fp32_contents: vec![0.5], ..contents() }), &0.5_f32.to_le_bytes());
    check(typed("FP64", &[1], InferTensorContents { fp64_contents: vec![0.5], ..contents() }), &0.5_f64.to_le_bytes());
    let strings = InferTensorContents { bytes_contents: vec![Bytes::from_static(b"ab")], ..contents() };
    check(typed("BYTES", &[1], strings), &[2, 0, 0, 0, b'a', b'b']);
    check(typed("FP16", &[0], contents()), &[]);
}

#[test]
fn typed_contents_in_the_wrong_field_are_refused() {
    let contents = InferTensorContents { fp32_contents: vec![1.0], ..Default::default() };
    let text = |expected: &str| {
        format!(
            "unexpected explicit tensor data for input tensor 'X' for model 'M' of type 'FP32', expected datatype \
             '{expected}'"
        )
    };
    check_refused(typed("INT32", &[1], contents.clone()), &text("INT32"));
    check_refused(typed("FP16", &[1], contents.clone()), &text("FP16"));
    let twice = InferTensorContents { bytes_contents: vec![Bytes::new()], ..contents };
    check_refused(
        typed("FP32", &[1], twice),
        "unexpected explicit tensor data for input tensor 'X' for model 'M', binary data was already supplied.",
    );
}

#[test]
fn typed_contents_that_do_not_fit_are_refused() {
    let contents = InferTensorContents { int_contents: vec![1, 300], ..Default::default() };
    check_refused(
        typed("INT8", &[2], contents),
        "value 300 at index 1 of the contents of input tensor 'X' for model 'M' does not fit datatype 'INT8'",
    );
}

#[test]
fn raw_and_typed_contents_do_not_mix() {
    let mut message = typed("INT32", &[1], InferTensorContents::default());
    message.raw_input_contents = vec![Bytes::from_static(&[0; 4])];
    check_refused(message, "contents field must not be specified when using raw_input_contents for 'X' for model 'M'");
}

#[test]
fn an_input_without_data_and_data_without_an_input_are_refused() {
    let inputs = || vec![input("X", "INT32", &[1]), input("Y", "INT32", &[1])];
    check_refused(raw(inputs(), &[&[0; 4]]), "unable to find data for input tensor 'Y' for model 'M' in request.");
    check_refused(
        raw(inputs(), &[&[0; 4], &[0; 4], &[0; 4]]),
        "unexpected additional input data for model 'M': raw_input_contents has 3 entries for 2 inputs",
    );
}

#[test]
fn raw_contents_of_the_wrong_size_are_refused() {
    let mut message = raw(vec![input("X", "FP32", &[2])], &[&[0; 12]]);
    check_refused(
        message.clone(),
        "[request id: <id_unknown>] input byte size mismatch for input 'X' for model 'M'. Expected 8, got 12",
    );
    message.id = "7".into();
    check_refused(message, "[request id: 7] input byte size mismatch for input 'X' for model 'M'. Expected 8, got 12");
}

#[test]
fn strings_that_break_off_or_are_too_few_or_too_many_are_refused() {
    let one: &[u8] = &[1, 0, 0, 0, b'a'];
    check_refused(
        raw(vec![input("X", "BYTES", &[2])], &[one]),
        "[request id: <id_unknown>] expected 2 string elements for inference input 'X' for model 'M', got 1",
    );
    check_refused(
        raw(vec![input("X", "BYTES", &[0])], &[one]),
        "[request id: <id_unknown>] unexpected number of string elements 1 for inference input 'X' for model 'M', \
         expecting 0",
    );
    check_refused(
        raw(vec![input("X", "BYTES", &[1])], &[&[9, 0, 0, 0, b'a']]),
        "[request id: <id_unknown>] incomplete string length indicator or string data for inference input 'X' for \
         model 'M': the element at byte 0 reaches beyond the 5 bytes given",
    );
}

#[test]
fn shapes_that_overflow_or_are_negative_are_refused() {
    check_refused(
        raw(vec![input("X", "INT8", &[i64::MAX, 2])], &[&[]]),
        "[request id: <id_unknown>] invalid shape for input 'X' for model 'M': shape [9223372036854775807,2] causes \
         total element count to exceed maximum size of 9223372036854775807",
    );
    check_refused(
        raw(vec![input("X", "INT8", &[2, -1])], &[&[]]),
        "[request id: <id_unknown>] invalid shape for input 'X' for model 'M': shape [2,-1] contains one or more \
         invalid dimensions",
    );
    check_refused(
        raw(vec![input("X", "FP64", &[i64::MAX])], &[&[]]),
        "[request id: <id_unknown>] byte size overflow for input 'X' for model 'M': shape [9223372036854775807] of \
         FP64 elements",
    );
}

#[test]
fn unknown_data_types_are_refused_with_the_list() {
    let error = decode(raw(vec![input("X", "FLOAT", &[1])], &[&[0; 4]])).unwrap_err();
    assert!(error.message().starts_with("unknown data type 'FLOAT', expected one of BOOL"), "{error}");
    assert!(error.message().ends_with(", for input 'X' for model 'M'"), "{error}");
}

#[test]
fn names_that_stand_twice_are_refused() {
    let twice = vec![input("X", "INT8", &[1]), input("X", "INT8", &[1])];
    check_refused(raw(twice, &[&[0], &[0]]), "input 'X' already exists in request");
    let mut message = raw(Vec::new(), &[]);
    let output = InferRequestedOutputTensor { name: "O".into(), ..Default::default() };
    message.outputs = vec![output.clone(), output];
    check_refused(message, "output 'O' already exists in request");
}

#[test]
fn outputs_are_asked_for_in_the_order_given() {
    let mut message = raw(Vec::new(), &[]);
    let output = |name: &str| InferRequestedOutputTensor { name: name.into(), ..Default::default() };
    message.outputs = vec![output("B"), output("A")];
    let names: Vec<_> = decode(message).unwrap().requested_outputs.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["B", "A"]);
}

/// Parameters that place a tensor in the 8 bytes of region `R`.
fn in_region(offset: i64, byte_size: i64) -> BTreeMap<String, InferParameter> {
    let choices = [
        ("shared_memory_region", ParameterChoice::StringParam("R".into())),
        ("shared_memory_offset", ParameterChoice::Int64Param(offset)),
        ("shared_memory_byte_size", ParameterChoice::Int64Param(byte_size)),
    ];
    choices.map(|(key, choice)| (key.to_owned(), InferParameter { parameter_choice: Some(choice) })).into()
}

#[test]
fn an_input_in_shared_memory_takes_no_raw_contents() {
    let shared =
        |offset, byte_size| InferInputTensor { parameters: in_region(offset, byte_size), ..input("S", "INT8", &[2]) };
    let message = raw(vec![shared(4, 2), input("X", "INT8", &[1])], &[&[9]]);
    let request = decode(message).unwrap();
    let bytes: Vec<_> = request.inputs.iter().map(|input| input.tensor.buffer().as_slice().to_vec()).collect();
    assert_eq!(bytes, [vec![4, 5], vec![9]]);
    assert!(request.inputs[0].tensor.buffer().is_external());

    let mismatch = "[request id: <id_unknown>] input byte size mismatch for input 'S' for model 'M'. Expected 2, got 3";
    check_refused(raw(vec![shared(4, 3)], &[]), mismatch);
    check_refused(raw(vec![shared(-1, 2)], &[]), "beyond: 18446744073709551615 2");
    let both = InferInputTensor { contents: Some(InferTensorContents::default()), ..shared(4, 2) };
    let text = "unexpected 'content' provided when using shared memory for input tensor 'S' for model 'M'";
    check_refused(raw(vec![both], &[]), text);
}

#[test]
fn an_output_in_shared_memory_is_the_requests_and_settles_the_answer() {
    let mut message = raw(Vec::new(), &[]);
    message.outputs = vec![InferRequestedOutputTensor { name: "O".into(), parameters: in_region(2, 4) }];
    let decoded = decode_infer_request(message, Instant::now(), &Regions).unwrap();
    assert!(decoded.shared.has_output("O"));
    let memory = &decoded.request.output_memory[0];
    assert_eq!((&*memory.name, memory.memory.length_bytes()), ("O", 4));
}

#[test]
fn classes_that_cannot_be_given_are_refused_in_tritons_words() {
    let check = |choice: ParameterChoice, more: &str, expected: &str| {
        let mut parameters = with_parameter(more);
        let parameter = InferParameter { parameter_choice: Some(choice) };
        parameters.insert("classification".into(), parameter);
        let mut message = raw(Vec::new(), &[]);
        message.outputs = vec![InferRequestedOutputTensor { name: "O".into(), parameters }];
        let error = decode(message).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, expected));
    };
    let sign = "invalid value for 'classification' parameter, expected >= 0";
    check(ParameterChoice::Int64Param(0), "mine", sign);
    check(ParameterChoice::Int64Param(-1), "mine", sign);
    let kind = "invalid value type for 'classification' parameter, expected int64_param";
    check(ParameterChoice::StringParam("3".into()), "mine", kind);
    let both = "output can't set both 'shared_memory_region' and 'classification'";
    check(ParameterChoice::Int64Param(3), "shared_memory_region", both);
}
