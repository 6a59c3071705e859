//! Execution: values, names, shapes, batches, failures.

use super::*;

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    let pairs = vec![floats("INPUT__0", &[1, 2], &[1.0, 2.0]), floats("INPUT__1", &[1, 2], &[3.0, 5.0])];
    let mut normalises = config("normalises", &[("x", DataType::Fp32, &[2])], &[("y", DataType::Fp32, &[2])]);
    normalises.max_batch_size = 4;
    // Not the digits: a product of matrices may differ in the last bit with the number of rows.
    for (config, inputs) in [(add_sub(), pairs), (normalises, vec![floats("x", &[1, 2], &[7.0; 2])])] {
        let loaded = load(config);
        let signature = loaded.signature.clone();
        contract::check(contract::ContractCase { model: &*loaded.model, signature, inputs }).await;
    }
}

#[test]
fn agrees_with_the_framework_that_trained_the_model() {
    let text = fs::read_to_string(workspace().join("tests/models/torch/digits_mlp.expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let numbers = |key: &str| -> Vec<f64> {
        let rows = expected[key].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        rows.map(|number| number.as_f64().unwrap()).collect()
    };
    let pixels: Vec<f32> = numbers("rows").into_iter().map(|pixel| pixel as f32).collect();
    let rows = pixels.len() as u64 / 64;
    let response = load(digits()).infer(vec![floats("pixels", &[rows, 64], &pixels)]).unwrap();
    let found = values(&response, "PROBABILITIES");
    assert!(rows == 20 && found.len() == 200);
    for (found, expected) in found.iter().zip(numbers("probabilities")) {
        assert!((f64::from(*found) - expected).abs() <= 1e-5, "{found} where scikit-learn says {expected}");
    }
}

#[test]
fn every_element_type_goes_through_unchanged() {
    for data_type in DataType::ALL.into_iter().filter(|data_type| *data_type != DataType::Bytes) {
        let size = data_type.size_bytes().unwrap();
        let bytes: Vec<u8> = match data_type {
            DataType::Bool => vec![1, 0],
            _ => (1..=2 * size as u8).collect(),
        };
        let input = Tensor::new(data_type, [2].into(), bytes.clone().into()).unwrap();
        let mut loaded = load(config("identity", &[("x", data_type, &[-1])], &[("y", data_type, &[-1])]));
        let response = loaded.infer(vec![named("x", input)]).unwrap();
        let output = response.output("y").unwrap();
        assert_eq!((output.data_type(), output.buffer().as_slice()), (data_type, &*bytes), "{data_type}");
    }
}

#[test]
fn a_batch_is_computed_at_once_and_handed_out_by_request() {
    let request = |value: f32, rows: usize| {
        let side = |name: &str, value: f32| floats(name, &[rows as u64, 2], &vec![value; 2 * rows]);
        InferRequest::new(vec![side("INPUT__0", 10.0 * value), side("INPUT__1", value)])
    };
    let one_output = InferRequest { requested_outputs: vec!["OUTPUT__1".into()], ..request(3.0, 1) };
    let mut answers = load(add_sub()).execute_on(0, vec![request(1.0, 1), request(2.0, 3), one_output]);
    let last = answers.pop().unwrap().unwrap();
    assert_eq!((last.outputs.len(), values(&last, "OUTPUT__1")), (1, vec![27.0; 2]));
    for (answer, (value, rows)) in answers.into_iter().zip([(1.0, 1), (2.0, 3)]) {
        let answer = answer.unwrap();
        assert_eq!(values(&answer, "OUTPUT__0"), vec![11.0 * value; 2 * rows]);
        assert_eq!(&**answer.output("OUTPUT__1").unwrap().shape(), [rows as u64, 2]);
    }
}

#[test]
fn arguments_are_found_by_their_names() {
    let mut config = add_sub();
    config.inputs[0].name = "right".into();
    config.inputs[1].name = "left".into();
    config.outputs[0].name = "OUTPUT__1".into();
    config.outputs[1].name = "OUTPUT__0".into();
    let inputs = vec![floats("right", &[1, 2], &[1.0, 2.0]), floats("left", &[1, 2], &[10.0, 20.0])];
    let response = load(config).infer(inputs).unwrap();
    assert_eq!(values(&response, "OUTPUT__1"), [9.0, 18.0]);
    assert_eq!(values(&response, "OUTPUT__0"), [11.0, 22.0]);
}

#[test]
fn dictionaries_go_by_their_keys() {
    let inputs: [Written<'_>; 2] = [("b", DataType::Fp32, &[2]), ("a", DataType::Fp32, &[2])];
    let outputs: [Written<'_>; 2] = [("difference", DataType::Fp32, &[2]), ("sum", DataType::Fp32, &[2])];
    let given = || vec![floats("a", &[2], &[5.0, 6.0]), floats("b", &[2], &[1.0, 1.0])];
    let response = load(config("dictionaries", &inputs, &outputs)).infer(given()).unwrap();
    assert_eq!((values(&response, "sum"), values(&response, "difference")), (vec![6.0, 7.0], vec![4.0, 5.0]));
    let error = load(config("dictionaries", &inputs, &[("product", DataType::Fp32, &[2])])).infer(given()).unwrap_err();
    let text = "model 'dictionaries': the model gives no output 'product'; its dictionary has sum, difference";
    assert_eq!(error.message(), text);
}

#[test]
fn lists_go_by_their_order_and_defaults_may_be_left_out() {
    let mut lists = config(
        "lists",
        &[("x", DataType::Fp32, &[2]), ("factor", DataType::Fp32, &[1])],
        &[("OUTPUT__0", DataType::Fp32, &[2]), ("OUTPUT__1", DataType::Fp32, &[2])],
    );
    lists.inputs[1].optional = true;
    let mut loaded = load(lists.clone());
    let response = loaded.infer(vec![floats("x", &[2], &[1.0, 2.0])]).unwrap();
    assert_eq!(values(&response, "OUTPUT__1"), [2.0, 4.0]);
    let response = loaded.infer(vec![floats("x", &[2], &[1.0, 2.0]), floats("factor", &[1], &[10.0])]).unwrap();
    assert_eq!((values(&response, "OUTPUT__0"), values(&response, "OUTPUT__1")), (vec![10.0, 20.0], vec![20.0, 40.0]));
    lists.inputs[0].optional = true;
    let error = load(lists).infer(vec![floats("factor", &[1], &[10.0])]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("input 'x' is an argument before 'factor' and cannot be left out"), "{error}");
}

#[test]
fn outputs_are_dense_and_tensors_without_elements_go_through() {
    let mut loaded =
        load(config("transposes", &[("x", DataType::Fp32, &[1, -1, 2])], &[("y", DataType::Fp32, &[1, 2, -1])]));
    let response = loaded.infer(vec![floats("x", &[1, 2, 2], &[1.0, 2.0, 3.0, 4.0])]).unwrap();
    assert_eq!(values(&response, "y"), [1.0, 3.0, 2.0, 4.0]);
    let response = loaded.infer(vec![floats("x", &[1, 0, 2], &[])]).unwrap();
    assert_eq!(&**response.output("y").unwrap().shape(), [1, 2, 0]);
}

#[test]
fn a_wrong_shape_is_the_error_of_its_batch_in_libtorchs_words() {
    let mut config = digits();
    config.inputs[0].dims = vec![-1];
    let mut loaded = load(config);
    let pixels = |count: usize| InferRequest::new(vec![floats("pixels", &[1, count as u64], &vec![1.0; count])]);
    let expected =
        "model 'digits_mlp': PyTorch execute failure: mat1 and mat2 shapes cannot be multiplied (2x5 and 64x32)";
    for answer in loaded.execute_on(0, vec![pixels(5), pixels(5)]) {
        assert_eq!(answer.unwrap_err().message(), expected);
    }
    assert!(loaded.execute_on(0, vec![pixels(64)]).remove(0).is_ok());
}

#[test]
fn what_the_model_itself_says_reaches_the_client() {
    let mut loaded = load(config("raises", &[("x", DataType::Fp32, &[1])], &[("y", DataType::Fp32, &[1])]));
    let error = loaded.infer(vec![floats("x", &[1], &[-1.0])]).unwrap_err();
    assert!(error.message().ends_with("AssertionError: the sum is negative"), "{error}");
    assert_eq!(values(&loaded.infer(vec![floats("x", &[1], &[1.0])]).unwrap(), "y"), [1.0]);
}

#[test]
fn what_cannot_be_served_is_named() {
    let one = |name: &str, outputs: &[Written<'_>]| {
        let mut config = config(name, &[("x", DataType::Fp32, &[2])], outputs);
        config.max_batch_size = 4;
        let mut loaded = load(config);
        let requests = (0..2).map(|_| InferRequest::new(vec![floats("x", &[1, 2], &[1.0, 2.0])])).collect();
        loaded.execute_on(0, requests).remove(0).unwrap_err().message().to_owned()
    };
    let y: [Written<'_>; 1] = [("y", DataType::Fp32, &[2])];
    assert!(one("text_out", &y).ends_with("output 1 of the model is a str, expected a Tensor"));
    let text = "the configuration expects FP32 for output 'y', the model provides a type that cannot be served";
    assert!(one("complex_out", &y).ends_with(text));
    let text = "the configuration expects INT64 for output 'y', the model provides FP32";
    assert!(one("identity", &[("y", DataType::Int64, &[2])]).ends_with(text));
    let text = "output 'y__7' is number 7, counted from 0, and the model gives 1";
    assert!(one("identity", &[("y__7", DataType::Fp32, &[2])]).ends_with(text));
    let text = "output 'y' has shape [1,2], expected a batch dimension of 2 rows";
    assert!(one("loses_rows", &y).ends_with(text), "{}", one("loses_rows", &y));
}
