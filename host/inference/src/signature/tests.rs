//! What a request must look like, one claim per test, through one door.

use nereid_tensor::Tensor;

use super::*;

fn spec(name: &str, data_type: DataType, dims: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), data_type, dims: dims.to_vec(), optional: false }
}

/// A batching model of two inputs, `A` FP32 [2] and `B` INT32 [-1], and one output.
fn signature() -> Signature {
    Signature {
        model_name: "m".into(),
        inputs: vec![spec("A", DataType::Fp32, &[2]), spec("B", DataType::Int32, &[-1])],
        outputs: vec![spec("Y", DataType::Fp32, &[2])],
        max_batch_size: 4,
    }
}

fn a(rows: u64, columns: u64) -> NamedTensor {
    NamedTensor::new("A", Tensor::from_elements([rows, columns], &vec![0.0_f32; (rows * columns) as usize]).unwrap())
}

fn b(rows: u64, columns: u64) -> NamedTensor {
    NamedTensor::new("B", Tensor::from_elements([rows, columns], &vec![0_i32; (rows * columns) as usize]).unwrap())
}

#[track_caller]
fn check_refused(signature: &Signature, inputs: Vec<NamedTensor>, expected: &str) {
    let error = signature.check(InferRequest::new(inputs)).unwrap_err();
    let text = error.message().strip_prefix("[request id: <id_unknown>] ").unwrap_or(error.message());
    assert!(text.starts_with(expected), "expected {expected:?}, got {text:?}");
}

#[test]
fn accepts_inputs_in_any_order_and_sorts_them() {
    let checked = signature().check(InferRequest::new(vec![b(3, 7), a(3, 2)])).unwrap();
    assert_eq!(checked.batch_size(), 3);
    assert_eq!(&*checked.get().inputs[0].name, "A");
}

#[test]
fn names_what_is_missing() {
    check_refused(
        &signature(),
        vec![a(1, 2)],
        "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['A'], but missing required input(s) ['B']. \
         Please provide all required input(s).",
    );
}

#[test]
fn an_optional_input_may_be_left_out() {
    let mut signature = signature();
    signature.inputs[1].optional = true;
    assert!(signature.check(InferRequest::new(vec![a(1, 2)])).is_ok());
    check_refused(&signature, vec![], "expected number of inputs between 1 and 2 but got 0 inputs for model 'm'.");
}

#[test]
fn names_an_input_that_the_model_does_not_have() {
    let stranger = NamedTensor { name: "X".into(), ..a(1, 2) };
    check_refused(&signature(), vec![a(1, 2), stranger], "unexpected inference input 'X' for model 'm'");
}

#[test]
fn names_both_types() {
    let wrong = NamedTensor { name: "A".into(), ..b(1, 2) };
    check_refused(
        &signature(),
        vec![wrong, b(1, 2)],
        "inference input 'A' data-type is 'INT32', but model 'm' expects 'FP32'",
    );
}

#[test]
fn shows_both_shapes() {
    check_refused(
        &signature(),
        vec![a(1, 3), b(1, 2)],
        "unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [1,3]. NOTE: Setting a non-zero",
    );
}

#[test]
fn bounds_and_compares_batch_sizes() {
    check_refused(&signature(), vec![a(5, 2), b(5, 2)], "inference request batch-size must be <= 4 for 'm'");
    check_refused(&signature(), vec![a(2, 2), b(1, 2)], "input 'B' batch size does not match other inputs for 'm'");
}

#[test]
fn names_an_output_that_the_model_does_not_have() {
    let request = InferRequest { requested_outputs: vec!["Z".into()], ..InferRequest::new(vec![a(1, 2), b(1, 2)]) };
    let error = signature().check(request).unwrap_err();
    assert_eq!(error.message(), "unexpected inference output 'Z' for model 'm'");
}
