//! The example of Triton's documentation, every kind and type, and that cutting undoes laying end to end.

use nereid_inference::{
    InferRequest, NamedTensor, Signature,
    config::{ModelInput, ModelOutput, Reshape},
    response_channel,
};
use proptest::prelude::*;

use super::*;

/// A batching model with the ragged input `X` of these dims, and the output `Y` of these.
fn model(dims: &[i64], output_dims: &[i64]) -> ModelConfig {
    let data_type = DataType::Int32.into();
    let input = ModelInput {
        name: "X".into(),
        data_type,
        dims: dims.to_vec(),
        allow_ragged_batch: true,
        ..ModelInput::default()
    };
    let output = ModelOutput { name: "Y".into(), data_type, dims: output_dims.to_vec(), ..ModelOutput::default() };
    ModelConfig {
        name: "m".into(),
        max_batch_size: 64,
        inputs: vec![input],
        outputs: vec![output],
        ..ModelConfig::default()
    }
}

fn batch_input(kind: BatchInputKind, data_type: DataType) -> BatchInput {
    BatchInput { kind, target_names: vec!["T".into()], data_type: data_type.into(), source_inputs: vec!["X".into()] }
}

fn batch_output() -> BatchOutput {
    BatchOutput { target_names: vec!["Y".into()], source_inputs: vec!["X".into()], ..BatchOutput::default() }
}

fn tensor(shape: &[u64]) -> Tensor {
    let shape = Shape::new(shape);
    let elements: Vec<i32> = (0..shape.checked_element_count().unwrap() as i32).collect();
    Tensor::from_elements(shape, &elements).unwrap()
}

/// A batch of requests whose `X` have these shapes.
fn batch(config: &ModelConfig, shapes: &[&[u64]]) -> Batch {
    let signature = Signature::of_backend(config).unwrap();
    Batch::new(shapes.iter().map(|shape| {
        let request = InferRequest::new(vec![NamedTensor::new("X", tensor(shape))]);
        (signature.check(request).unwrap(), response_channel().0)
    }))
}

/// What `kind` tells, as both types, about requests of these shapes.
#[track_caller]
fn check(kind: BatchInputKind, shapes: &[&[u64]], expected_shape: &[u64], expected: &[i32]) {
    let dims: Vec<i64> = shapes[0][1..].iter().map(|_| -1).collect();
    for data_type in [DataType::Int32, DataType::Fp32] {
        let mut config = model(&dims, &dims);
        config.batch_inputs = vec![batch_input(kind, data_type)];
        let forms = BatchForms::of(&config).unwrap();
        let [made] = forms.tensors() else { panic!("one name, one tensor") };
        let tensor = made.make(&batch(&config, shapes)).unwrap();
        assert_eq!((&**tensor.shape(), tensor.data_type()), (expected_shape, data_type));
        assert_eq!(made.dims().len(), expected_shape.len());
        match data_type {
            DataType::Int32 => assert_eq!(tensor.elements::<i32>().unwrap().as_ref(), expected),
            _ => {
                let expected: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
                assert_eq!(tensor.elements::<f32>().unwrap().as_ref(), expected);
            }
        }
    }
}

const DOCUMENTED: [&[u64]; 3] = [&[1, 3], &[1, 4], &[1, 5]];
const ROWS: [&[u64]; 3] = [&[2, 1, 2], &[1, 1, 2], &[1, 2, 2]];

#[test]
fn the_documented_batch_is_flat_and_told_by_its_ends() {
    let forms = BatchForms::of(&model(&[-1], &[-1])).unwrap();
    let whole = forms.gather(&batch(&model(&[-1], &[-1]), &DOCUMENTED), "X").unwrap().unwrap();
    assert_eq!(&**whole.shape(), [12]);
    assert_eq!(whole.elements::<i32>().unwrap().as_ref(), [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]);
    check(BatchInputKind::AccumulatedElementCount, &DOCUMENTED, &[3], &[3, 7, 12]);
}

#[test]
fn every_kind_tells_what_it_should() {
    check(BatchInputKind::ElementCount, &DOCUMENTED, &[3], &[3, 4, 5]);
    check(BatchInputKind::AccumulatedElementCountWithZero, &DOCUMENTED, &[4], &[0, 3, 7, 12]);
    check(BatchInputKind::MaxElementCountAsShape, &DOCUMENTED, &[5], &[0; 5]);
    check(BatchInputKind::ElementCount, &ROWS, &[3], &[4, 2, 4]);
    check(BatchInputKind::MaxElementCountAsShape, &ROWS, &[4], &[0; 4]);
    check(BatchInputKind::ItemShape, &ROWS, &[4, 2], &[1, 2, 1, 2, 1, 2, 2, 2]);
    check(BatchInputKind::ItemShapeFlatten, &ROWS, &[8], &[1, 2, 1, 2, 1, 2, 2, 2]);
    check(BatchInputKind::ElementCount, &[&[1, 0], &[1, 2]], &[2], &[0, 2]);
    check(BatchInputKind::ItemShape, &[&[0, 3]], &[0, 1], &[]);
}

#[test]
fn a_source_is_seen_in_the_backends_form() {
    let mut config = model(&[-1, 4], &[-1]);
    config.inputs[0].reshape = Some(Reshape { shape: vec![-1, 2, 2] });
    config.batch_inputs = vec![batch_input(BatchInputKind::ItemShape, DataType::Int32)];
    let forms = BatchForms::of(&config).unwrap();
    let tensor = forms.tensors()[0].make(&batch(&config, &[&[1, 5, 2, 2]])).unwrap();
    assert_eq!(
        (&**tensor.shape(), tensor.elements::<i32>().unwrap().as_ref()),
        ([1, 3].as_slice(), [5, 2, 2].as_slice())
    );
}

#[test]
fn an_output_has_the_inputs_extents_where_it_is_open() {
    let mut config = model(&[-1, -1], &[2, -1]);
    config.batch_outputs = vec![batch_output()];
    let forms = BatchForms::of(&config).unwrap();
    let batch = batch(&config, &[&[1, 7, 3], &[2, 9, 1]]);
    let parts = forms.cut_of("Y").unwrap().hand_out(&batch, &tensor(&[10])).unwrap();
    assert_eq!(parts.iter().map(|part| part.shape().to_signed()).collect::<Vec<_>>(), [vec![1, 2, 3], vec![2, 2, 1]]);
    assert_eq!(parts[1].elements::<i32>().unwrap().as_ref(), [6, 7, 8, 9]);
    let error = forms.cut_of("Y").unwrap().hand_out(&batch, &tensor(&[11])).unwrap_err();
    assert_eq!(
        error.message(),
        "output 'Y' has shape [11], but the shapes of input 'X' in the batch call for 10 elements"
    );
}

#[test]
fn what_cannot_be_made_is_refused() {
    let refused = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = model(&[-1], &[-1]);
        change(&mut config);
        BatchForms::of(&config).unwrap_err().message().to_owned()
    };
    let count = |data_type| batch_input(BatchInputKind::ElementCount, data_type);
    assert_eq!(
        refused(&|config| config.batch_inputs = vec![count(DataType::Int64)]),
        "batch input data type must be TYPE_INT32 or TYPE_FP32 for m"
    );
    let elsewhere = BatchInput { source_inputs: vec!["Z".into()], ..count(DataType::Int32) };
    assert_eq!(refused(&|config| config.batch_inputs = vec![elsewhere.clone()]), "unknown source input name 'Z' for m");
    assert_eq!(
        refused(&|config| {
            config.outputs[0].dims = vec![-1, -1];
            config.batch_outputs = vec![batch_output()];
        }),
        "batch output 'Y' has an open dimension in place 2, where source input 'X' has none for m"
    );
}

#[test]
fn a_request_without_the_source_fails_by_name() {
    let mut config = model(&[-1], &[-1]);
    config.inputs[0].optional = true;
    config.batch_inputs = vec![batch_input(BatchInputKind::ElementCount, DataType::Int32)];
    let checked = Signature::of_backend(&config).unwrap().check(InferRequest::new(vec![])).unwrap();
    let forms = BatchForms::of(&config).unwrap();
    let error = forms.tensors()[0].make(&Batch::new([(checked, response_channel().0)])).unwrap_err();
    assert_eq!(error.message(), "batch input 'T' is about input 'X', which the request does not have");
}

proptest! {
    #[test]
    fn cutting_undoes_laying_end_to_end(
        shapes in prop::collection::vec((0_u64..3, 0_u64..4, 0_u64..4).prop_map(|(a, b, c)| vec![a, b, c]), 1..8),
    ) {
        let mut config = model(&[-1, -1], &[-1, -1]);
        config.batch_outputs = vec![batch_output()];
        let forms = BatchForms::of(&config).unwrap();
        let shapes: Vec<&[u64]> = shapes.iter().map(Vec::as_slice).collect();
        let batch = batch(&config, &shapes);
        let whole = forms.gather(&batch, "X").unwrap().unwrap();
        let parts = forms.cut_of("Y").unwrap().hand_out(&batch, &whole).unwrap();
        for (part, request) in parts.iter().zip(batch.requests()) {
            let sent = request.input("X").unwrap();
            prop_assert_eq!(part.shape(), sent.shape());
            prop_assert_eq!(part.buffer().as_slice(), sent.buffer().as_slice());
        }
    }

    #[test]
    fn ends_are_where_requests_are_found_in_the_flat_tensor(
        shapes in prop::collection::vec((1_u64..3, 0_u64..5).prop_map(|(a, b)| vec![a, b]), 1..8),
    ) {
        let mut config = model(&[-1], &[-1]);
        config.batch_inputs = vec![batch_input(BatchInputKind::AccumulatedElementCountWithZero, DataType::Int32)];
        let forms = BatchForms::of(&config).unwrap();
        let shapes: Vec<&[u64]> = shapes.iter().map(Vec::as_slice).collect();
        let batch = batch(&config, &shapes);
        let whole = forms.gather(&batch, "X").unwrap().unwrap();
        let bounds = forms.tensors()[0].make(&batch).unwrap();
        let bounds = bounds.elements::<i32>().unwrap();
        for (pair, request) in bounds.windows(2).zip(batch.requests()) {
            let found = &whole.elements::<i32>().unwrap()[pair[0] as usize..pair[1] as usize];
            let sent = request.input("X").unwrap().elements::<i32>().unwrap();
            prop_assert_eq!(found, sent.as_ref());
        }
    }
}
