//! Both ways of a reshape over real tensors, and what does not fit.

use nereid_tensor::{DataType, Tensor};
use proptest::prelude::*;

use super::*;
use crate::{
    InferRequest, Signature,
    config::{ModelInput, ModelOutput},
    response_channel,
};

/// A model whose input `X` and output `X` have these dims for clients and this shape for the backend.
fn model(dims: &[i64], reshape: &[i64], max_batch_size: i32) -> ModelConfig {
    let (name, data_type, dims) = ("X".to_owned(), DataType::Int32.into(), dims.to_vec());
    let reshape = Some(Reshape { shape: reshape.to_vec() });
    let output = ModelOutput {
        name: name.clone(),
        data_type,
        dims: dims.clone(),
        reshape: reshape.clone(),
        ..ModelOutput::default()
    };
    let input = ModelInput { name, data_type, dims, reshape, ..ModelInput::default() };
    ModelConfig {
        name: "m".into(),
        max_batch_size,
        inputs: vec![input],
        outputs: vec![output],
        ..ModelConfig::default()
    }
}

fn tensor(shape: &[u64]) -> Tensor {
    let shape = Shape::new(shape);
    let elements: Vec<i32> = (0..shape.checked_element_count().unwrap() as i32).collect();
    Tensor::from_elements(shape, &elements).unwrap()
}

/// What the backend sees of a request with `tensor`.
fn sent(config: &ModelConfig, tensor: Tensor) -> Result<Tensor, InferError> {
    let request = InferRequest::new(vec![NamedTensor::new("X", tensor)]);
    let mut request = Signature::from_config(config).unwrap().check(request).unwrap();
    Reshapes::of(config).unwrap().to_backend(&mut request)?;
    Ok(request.input("X").unwrap().clone())
}

/// What the client sees of a response with `tensor`.
fn answered(config: &ModelConfig, tensor: Tensor) -> Result<Tensor, InferError> {
    let mut response = InferResponse::new(vec![NamedTensor::new("X", tensor)]);
    Reshapes::of(config).unwrap().to_client(&mut response)?;
    Ok(response.output("X").unwrap().clone())
}

#[track_caller]
fn check(dims: &[i64], reshape: &[i64], max_batch_size: i32, client: &[u64], backend: &[u64]) {
    let config = model(dims, reshape, max_batch_size);
    let original = tensor(client);
    let seen = sent(&config, original.clone()).unwrap();
    assert_eq!(&**seen.shape(), backend);
    assert_eq!(seen.buffer().as_slice().as_ptr(), original.buffer().as_slice().as_ptr(), "copied");
    let back = answered(&config, seen).unwrap();
    assert_eq!(&**back.shape(), client);
    assert_eq!(back.buffer().as_slice().as_ptr(), original.buffer().as_slice().as_ptr(), "copied");
}

#[test]
fn reshapes_both_ways_without_a_copy_and_keeps_the_batch() {
    check(&[1], &[], 8, &[3, 1], &[3]);
    check(&[4], &[2, 2], 8, &[3, 4], &[3, 2, 2]);
    check(&[4], &[1, 4], 0, &[4], &[1, 4]);
    check(&[-1, 4], &[-1, 2, 2], 0, &[7, 4], &[7, 2, 2]);
    check(&[-1, -1], &[-1, 1, -1], 8, &[2, 5, 6], &[2, 5, 1, 6]);
    check(&[-1, 4], &[-1, 2, 2], 8, &[2, 0, 4], &[2, 0, 2, 2]);
}

#[test]
fn a_model_without_reshapes_has_none() {
    let mut config = model(&[4], &[2, 2], 8);
    config.inputs[0].reshape = None;
    assert!(Reshapes::of(&config).is_some(), "an output alone is enough");
    config.outputs[0].reshape = None;
    assert!(Reshapes::of(&config).is_none());
}

#[test]
fn an_output_of_another_shape_is_an_error_that_shows_both() {
    let error = answered(&model(&[4], &[2, 2], 8), tensor(&[3, 4])).unwrap_err();
    assert_eq!(
        error.message(),
        "model 'm': output 'X' has shape [3,4], but the configuration reshapes it from [-1,2,2]"
    );
    assert!(answered(&model(&[1], &[], 8), tensor(&[])).is_err(), "no batch dimension");
}

#[tokio::test]
async fn a_sender_gives_every_response_the_clients_form_once() {
    let config = model(&[4], &[2, 2], 8);
    let response = || Ok(InferResponse::new(vec![NamedTensor::new("X", tensor(&[1, 2, 2]))]));
    let (mut sender, mut stream) = response_channel();
    sender.reshape(Reshapes::of(&config).unwrap());
    sender.send(response()).await;
    // The last one may be reshaped, and counted, before it is sent.
    let mut last = response();
    sender.reshape_last(&mut last);
    sender.respond(last);
    for _ in 0..2 {
        let response = stream.next().await.unwrap().response.unwrap().unwrap();
        assert_eq!(&**response.output("X").unwrap().shape(), [1, 4]);
    }
}

#[tokio::test]
async fn a_sender_answers_with_an_error_what_does_not_fit() {
    let (mut sender, stream) = response_channel();
    sender.reshape(Reshapes::of(&model(&[4], &[2, 2], 8)).unwrap());
    sender.respond(Ok(InferResponse::new(vec![NamedTensor::new("X", tensor(&[1, 4]))])));
    assert!(stream.single().await.unwrap_err().message().contains("reshapes it from [-1,2,2]"));
}

/// Dims with an extent for each open one: parts of fixed size between open dimensions, split in two ways.
fn two_forms() -> impl Strategy<Value = (Vec<i64>, Vec<i64>, Vec<u64>, Vec<u64>)> {
    let part = (1_u64..4, 1_u64..4).prop_flat_map(|(one, two)| {
        let splits = prop_oneof![Just(vec![one, two]), Just(vec![one * two]), Just(vec![two, 1, one])];
        (splits.clone(), splits)
    });
    prop::collection::vec((part, prop::option::of(0_u64..5)), 1..4).prop_map(|parts| {
        let (mut left, mut right, mut left_shape, mut right_shape) = (vec![], vec![], vec![], vec![]);
        for ((one, other), open) in parts {
            for (dims, shape, part) in [(&mut left, &mut left_shape, one), (&mut right, &mut right_shape, other)] {
                dims.extend(part.iter().map(|extent| *extent as i64));
                shape.extend(part);
                dims.extend(open.map(|_| -1_i64));
                shape.extend(open);
            }
        }
        (left, right, left_shape, right_shape)
    })
}

proptest! {
    #[test]
    fn any_two_forms_of_the_same_elements_stand_for_each_other(
        (dims, reshape, client, backend) in two_forms(),
        rows in prop::option::of(0_u64..4),
    ) {
        let with_rows = |shape: &[u64]| -> Vec<u64> { rows.into_iter().chain(shape.iter().copied()).collect() };
        let max_batch_size = if rows.is_some() { 8 } else { 0 };
        check(&dims, &reshape, max_batch_size, &with_rows(&client), &with_rows(&backend));
    }
}
