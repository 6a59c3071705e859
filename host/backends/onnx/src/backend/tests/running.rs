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
fn one_number_per_row_is_a_tensor_of_one_dimension() {
    let loaded = load("scalar_per_row");
    assert_eq!(loaded.config.inputs[0].reshape, Some(Reshape { shape: vec![] }));
    let x = Tensor::from_elements([3], &[1_i64, 2, 3]).unwrap();
    let response = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
    let y = response.output("Y").unwrap();
    assert_eq!(y.shape(), &Shape::from([3]));
    assert_eq!(y.elements::<i64>().unwrap().as_ref(), [2, 4, 6]);
}

#[test]
fn a_scalar_of_the_file_is_one_element_for_clients() {
    let loaded = load("scalar");
    assert_eq!((loaded.config.max_batch_size, &*loaded.config.inputs[0].dims), (0, [1].as_slice()));
    assert_eq!(loaded.config.inputs[0].reshape, None, "a model that does not batch cannot reshape to nothing");
    for shape in [vec![1_i64], vec![1, 1]] {
        let loaded = load_with("scalar", |config| {
            let input = ModelInput { name: "X".into(), dims: shape.clone(), ..ModelInput::default() };
            let output = ModelOutput { name: "Y".into(), dims: shape.clone(), ..ModelOutput::default() };
            (config.inputs, config.outputs) = (vec![input], vec![output]);
        });
        let shape = Shape::from_signed(&shape).unwrap();
        let x = Tensor::from_elements(shape.clone(), &[20.5_f32]).unwrap();
        let response = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
        let y = response.output("Y").unwrap();
        assert_eq!((y.shape(), y.elements::<f32>().unwrap().as_ref()), (&shape, [41.0].as_slice()));
    }
}

/// A request to `ragged` of these values and this scale.
fn values(values: &[f32], scale: f32) -> InferRequest {
    let rows = Tensor::from_elements([1, values.len() as u64], values).unwrap();
    let scale = Tensor::from_elements([1, 1], &[scale]).unwrap();
    InferRequest::new(vec![NamedTensor::new("VALUES", rows), NamedTensor::new("SCALE", scale)])
}

fn ragged(config: &mut ModelConfig) {
    config.max_batch_size = 8;
    let input = |name: &str, dims: i64, allow_ragged_batch| ModelInput {
        name: name.into(),
        dims: vec![dims],
        allow_ragged_batch,
        ..ModelInput::default()
    };
    config.inputs = vec![input("VALUES", -1, true), input("SCALE", 1, false)];
    let output = |name: &str, dims: i64| ModelOutput { name: name.into(), dims: vec![dims], ..ModelOutput::default() };
    config.outputs = vec![output("SUM", 1), output("DOUBLED", -1)];
    let (target_names, source_inputs) = (vec!["BOUNDS".into()], vec!["VALUES".into()]);
    let kind = BatchInputKind::AccumulatedElementCountWithZero;
    let data_type = DataType::Int32.into();
    config.batch_inputs = vec![BatchInput { kind, target_names, data_type, source_inputs: source_inputs.clone() }];
    let target_names = vec!["DOUBLED".into()];
    config.batch_outputs = vec![BatchOutput { target_names, source_inputs, ..BatchOutput::default() }];
}

#[test]
fn requests_of_different_shapes_are_one_execution_and_give_the_same_numbers_alone() {
    let loaded = load_with("ragged", ragged);
    let requests = || vec![values(&[1.0, 2.0], 1.0), values(&[], 5.0), values(&[3.0, 4.0, 5.0], 10.0)];
    let shown = |answer: Result<InferResponse, InferError>| {
        let answer = answer.unwrap();
        let [sum, doubled] = ["SUM", "DOUBLED"].map(|name| answer.output(name).unwrap().clone());
        assert_eq!(&**sum.shape(), [1, 1]);
        assert_eq!(doubled.shape()[0], 1);
        (sum.elements::<f32>().unwrap().into_owned(), doubled.elements::<f32>().unwrap().into_owned())
    };
    let together: Vec<_> = loaded.execute(requests()).into_iter().map(shown).collect();
    assert_eq!(together, [(vec![3.0], vec![2.0, 4.0]), (vec![0.0], vec![]), (vec![120.0], vec![6.0, 8.0, 10.0])]);
    let alone: Vec<_> = requests().into_iter().map(|request| shown(loaded.execute(vec![request]).remove(0))).collect();
    assert_eq!(alone, together);
}

#[test]
fn a_model_is_told_everything_about_its_batch() {
    let loaded = load_with("batch_tensors", |config| {
        config.max_batch_size = 8;
        let dims = vec![-1, -1];
        config.inputs =
            vec![ModelInput { name: "VALUES".into(), dims, allow_ragged_batch: true, ..ModelInput::default() }];
        let made = |name: &str, kind, data_type: DataType| BatchInput {
            kind,
            target_names: vec![name.into()],
            data_type: data_type.into(),
            source_inputs: vec!["VALUES".into()],
        };
        config.batch_inputs = vec![
            made("COUNTS", BatchInputKind::ElementCount, DataType::Int32),
            made("ENDS", BatchInputKind::AccumulatedElementCount, DataType::Fp32),
            made("BOUNDS", BatchInputKind::AccumulatedElementCountWithZero, DataType::Int32),
            made("LONGEST", BatchInputKind::MaxElementCountAsShape, DataType::Fp32),
            made("SHAPES", BatchInputKind::ItemShape, DataType::Int32),
            made("SHAPES_FLAT", BatchInputKind::ItemShapeFlatten, DataType::Fp32),
        ];
    });
    let request = |shape: [u64; 3]| {
        let values = vec![0.0_f32; shape.iter().product::<u64>() as usize];
        InferRequest::new(vec![NamedTensor::new("VALUES", Tensor::from_elements(shape, &values).unwrap())])
    };
    let answers = loaded.execute(vec![request([1, 4, 1]), request([1, 1, 2]), request([1, 2, 2])]);
    for (answer, item_shape) in answers.iter().zip([[4, 1], [1, 2], [2, 2]]) {
        let output = |name: &str| answer.as_ref().unwrap().output(name).unwrap().clone();
        let integers = |name: &str| output(name).elements::<i32>().unwrap().into_owned();
        let floats = |name: &str| output(name).elements::<f32>().unwrap().into_owned();
        let extent = |name: &str| output(name).elements::<i64>().unwrap().into_owned();
        assert_eq!(integers("OUT_COUNTS"), [4, 2, 4]);
        assert_eq!(floats("OUT_ENDS"), [4.0, 6.0, 10.0]);
        assert_eq!(integers("OUT_BOUNDS"), [0, 4, 6, 10]);
        assert_eq!((extent("OUT_LENGTH"), extent("OUT_ELEMENTS")), (vec![4], vec![10]));
        assert_eq!(floats("OUT_SHAPES_FLAT"), [4.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!(integers("OUT_SHAPES"), item_shape);
    }
}

#[test]
fn an_input_with_a_value_in_the_file_may_be_left_out() {
    let loaded = load_with("with_default", |config| {
        let input =
            |name: &str, optional| ModelInput { name: name.into(), dims: vec![-1], optional, ..ModelInput::default() };
        let factor = ModelInput { dims: vec![1], ..input("FACTOR", true) };
        config.inputs = vec![input("X", false), factor];
        config.outputs = vec![ModelOutput { name: "Y".into(), dims: vec![-1], ..ModelOutput::default() }];
    });
    let x = || NamedTensor::new("X", Tensor::from_elements([2], &[1.0_f32, 2.0]).unwrap());
    let y = |inputs| loaded.infer(inputs).unwrap().output("Y").unwrap().elements::<f32>().unwrap().into_owned();
    assert_eq!(y(vec![x()]), [3.0, 6.0]);
    let factor = NamedTensor::new("FACTOR", Tensor::from_elements([1], &[10.0_f32]).unwrap());
    assert_eq!(y(vec![x(), factor]), [10.0, 20.0]);
}
