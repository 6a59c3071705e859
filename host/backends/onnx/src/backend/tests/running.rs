//! Execution: values, shapes, batches, failures, memory.

use super::*;

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    for (name, inputs) in [("add_sub", add_sub_inputs(5, 3)), ("identity_all_types", every_type())] {
        let loaded = load(name);
        let signature = loaded.signature.clone();
        contract::check(contract::ContractCase { model: &*loaded.model, signature, inputs }).await;
    }
}

#[test]
fn every_element_type_goes_through_unchanged() {
    let inputs = every_type();
    let response = load("identity_all_types").infer(inputs.clone()).unwrap();
    assert_eq!(response.outputs.len(), DataType::ALL.len());
    for input in inputs {
        let output = response.output(&input.name.replace("IN_", "OUT_")).unwrap();
        assert_eq!(output.data_type(), input.tensor.data_type());
        assert_eq!(output.buffer().as_slice(), input.tensor.buffer().as_slice(), "{}", input.name);
    }
}

#[test]
fn a_batch_is_computed_at_once_and_handed_out_by_request() {
    let loaded = load("add_sub");
    let requests = (1..=3).map(|value| InferRequest::new(add_sub_inputs(10 * value, value))).collect();
    for (index, answer) in loaded.execute(requests).into_iter().enumerate() {
        let (answer, value) = (answer.unwrap(), index as i32 + 1);
        assert_eq!(first_i32(&answer, "OUTPUT0"), 11 * value);
        assert_eq!(first_i32(&answer, "OUTPUT1"), 9 * value);
        assert_eq!(&**answer.output("OUTPUT0").unwrap().shape(), [1, 16]);
    }
}

#[test]
fn only_the_outputs_that_a_request_wants_are_answered() {
    let loaded = load("add_sub");
    let one = InferRequest { requested_outputs: vec!["OUTPUT1".into()], ..InferRequest::new(add_sub_inputs(5, 3)) };
    let answers = loaded.execute(vec![one, InferRequest::new(add_sub_inputs(7, 2))]);
    let names = |answer: &Result<InferResponse, InferError>| {
        answer.as_ref().unwrap().outputs.iter().map(|output| output.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&answers[0]), ["OUTPUT1"]);
    assert_eq!(names(&answers[1]), ["OUTPUT0", "OUTPUT1"]);
    assert_eq!(first_i32(answers[0].as_ref().unwrap(), "OUTPUT1"), 2);
}

#[test]
fn shapes_that_only_the_run_tells_are_taken_from_it() {
    let x = Tensor::from_elements([2, 3], &[0.0_f32, 1.0, 2.0, 0.0, 0.0, 5.0]).unwrap();
    let response = load("dynamic_shapes").infer(vec![NamedTensor::new("X", x)]).unwrap();
    let transposed = response.output("TRANSPOSED").unwrap();
    assert_eq!(&**transposed.shape(), [3, 2]);
    assert_eq!(transposed.elements::<f32>().unwrap().as_ref(), [0.0, 0.0, 1.0, 0.0, 2.0, 5.0]);
    let positions = response.output("POSITIONS").unwrap();
    assert_eq!(positions.elements::<i64>().unwrap().as_ref(), [0, 0, 1, 1, 2, 2]);
}

#[test]
fn a_response_outlives_its_model() {
    let x = Tensor::from_elements([1, 2], &[3.0_f32, 4.0]).unwrap();
    let loaded = load("dynamic_shapes");
    let response = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
    drop(loaded);
    assert_eq!(response.output("TRANSPOSED").unwrap().elements::<f32>().unwrap().as_ref(), [3.0, 4.0]);
}

#[test]
fn a_tensor_without_elements_goes_through() {
    let x = Tensor::from_elements::<f32>([0, 3], &[]).unwrap();
    let response = load("dynamic_shapes").infer(vec![NamedTensor::new("X", x)]).unwrap();
    assert_eq!(&**response.output("TRANSPOSED").unwrap().shape(), [3, 0]);
    assert_eq!(&**response.output("POSITIONS").unwrap().shape(), [2, 0]);
}

#[test]
fn strings_of_any_bytes_go_through_in_batches() {
    let loaded = load("string_identity");
    let texts = [["", "a\0b"], ["ü", "three"]];
    let requests = texts.iter().map(|words| {
        InferRequest::new(vec![NamedTensor::new("TEXT", Tensor::from_byte_strings([1, 2], words).unwrap())])
    });
    let answers = loaded.execute(requests.collect());
    for (answer, words) in answers.iter().zip(texts) {
        let same = answer.as_ref().unwrap().output("SAME").unwrap();
        assert_eq!(same.byte_strings().collect::<Vec<_>>(), words.map(str::as_bytes));
    }
}

#[test]
fn misaligned_memory_gives_the_same_numbers() {
    let values: Vec<i32> = (0..16).collect();
    let mut bytes = vec![0_u8];
    bytes.extend_from_slice(bytemuck::cast_slice(&values));
    let buffer = Buffer::from(bytes).slice(1..65).unwrap();
    let odd = Tensor::new(DataType::Int32, [1, 16].into(), buffer).unwrap();
    let response =
        load("add_sub").infer(vec![NamedTensor::new("INPUT0", odd), NamedTensor::new("INPUT1", row(1))]).unwrap();
    let sums: Vec<i32> = values.iter().map(|value| value + 1).collect();
    assert_eq!(response.output("OUTPUT0").unwrap().elements::<i32>().unwrap().as_ref(), sums);
}

#[test]
fn numbers_are_those_of_the_model() {
    let x = Tensor::from_elements([2, 4], &[0.5_f32, -1.0, 2.0, 0.25, 0.0, 0.0, 0.0, 0.0]).unwrap();
    let response = load("mlp").infer(vec![NamedTensor::new("X", x)]).unwrap();
    let found = response.output("Y").unwrap().elements::<f32>().unwrap().into_owned();
    let expected = [MLP_ROW_0, MLP_ROW_1].concat();
    assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
}

#[test]
fn instances_share_a_session_and_run_at_the_same_time() {
    let loaded = load("add_sub");
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let loaded = &loaded;
            scope.spawn(move || {
                for value in 0..200 {
                    let answer = loaded.infer(add_sub_inputs(value, thread)).unwrap();
                    assert_eq!(first_i32(&answer, "OUTPUT1"), value - thread);
                }
            });
        }
    });
}

#[test]
fn a_failing_run_fails_its_batch_and_nothing_else() {
    let loaded = load("lookup");
    let index = |index: i64| {
        let tensor = Tensor::from_elements([1, 1], &[index]).unwrap();
        InferRequest::new(vec![NamedTensor::new("INDEX", tensor)])
    };
    for answer in loaded.execute(vec![index(1), index(9)]) {
        let error = answer.unwrap_err();
        assert!(error.message().starts_with("model 'lookup': onnx runtime error 2: "), "{error}");
        assert!(error.message().contains("idx=9 must be within the inclusive range [-4,3]"), "{error}");
    }
    let answer = loaded.execute(vec![index(3)]).remove(0).unwrap();
    assert_eq!(answer.output("VALUE").unwrap().elements::<f32>().unwrap().as_ref(), [40.0]);
}

#[test]
fn a_thousand_runs_and_failures_hold_no_memory() {
    let (strings, dynamic, lookup) = (load("string_identity"), load("dynamic_shapes"), load("lookup"));
    let round = || {
        let text = Tensor::from_byte_strings([1, 2], &[&[b'x'; 20_000], &[b'y'; 20_000]]).unwrap();
        strings.infer(vec![NamedTensor::new("TEXT", text)]).unwrap();
        let x = Tensor::from_elements([100, 100], &[1.0_f32; 10_000]).unwrap();
        dynamic.infer(vec![NamedTensor::new("X", x)]).unwrap();
        let index = Tensor::from_elements([1, 1], &[9_i64]).unwrap();
        lookup.infer(vec![NamedTensor::new("INDEX", index)]).unwrap_err();
    };
    (0..100).for_each(|_| round());
    let before = resident_bytes();
    (0..1000).for_each(|_| round());
    // One value left behind per round would be 40 kB or 40 MB in all; the tests beside this one need little.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "resident memory grew by {grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn one_number_per_row_is_served_through_a_reshape() {
    let loaded = load("scalar_per_row");
    assert_eq!(loaded.config.inputs[0].reshape, Some(Reshape { shape: vec![] }));
    let x = Tensor::from_elements([3, 1], &[1_i64, 2, 3]).unwrap();
    let response = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
    let y = response.output("Y").unwrap();
    assert_eq!(y.shape(), &Shape::from([3, 1]));
    assert_eq!(y.elements::<i64>().unwrap().as_ref(), [2, 4, 6]);
}
