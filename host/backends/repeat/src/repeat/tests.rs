//! `repeat` through its seam: how many responses, when the instance is free, who stops it, and what is refused.

use std::{
    future::Future,
    task::{Context, Waker},
};

use nereid_backend::contract;
use nereid_inference::{
    InferRequest, ResponseStream, Signature,
    config::{Reshape, TransactionPolicy},
    response_channel,
};

use super::*;
use crate::tensors::fixture::{self, load_error};

fn source() -> ModelSource {
    fixture::source(
        &[("IN", DataType::Int32, &[-1]), ("DELAY", DataType::Uint32, &[-1]), ("WAIT", DataType::Uint32, &[1])],
        &[("OUT", DataType::Int32, &[1]), ("IDX", DataType::Uint32, &[1])],
    )
}

fn request(elements: &[i32], delays_ms: &[u32], hold_ms: u32) -> InferRequest {
    InferRequest::new(vec![
        NamedTensor::new("IN", Tensor::from_elements([elements.len() as u64], elements).unwrap()),
        NamedTensor::new("DELAY", Tensor::from_elements([delays_ms.len() as u64], delays_ms).unwrap()),
        NamedTensor::new("WAIT", Tensor::from_elements([1], &[hold_ms]).unwrap()),
    ])
}

/// A batch of one, and what comes of it.
fn batch(request: InferRequest) -> (Batch, ResponseStream) {
    let checked = Signature::from_config(&source().config).unwrap().check(request).unwrap();
    let (sender, stream) = response_channel();
    (Batch::new([(checked, sender)]), stream)
}

/// Executes one request; its responses may come later.
async fn execute(request: InferRequest) -> ResponseStream {
    let (mut batch, stream) = batch(request);
    RepeatInstance.execute(&mut batch).await;
    for (sender, result) in batch.finish().filter_map(|finished| finished.answer) {
        sender.respond(result);
    }
    stream
}

/// `OUT` and `IDX` of every response, and that the end comes by itself.
async fn responses(mut stream: ResponseStream) -> Vec<(i32, u32)> {
    let mut found = Vec::new();
    while let Some(delivery) = stream.next().await {
        assert_eq!(delivery.response.is_none(), delivery.last, "the end is no response");
        let Some(response) = delivery.response else { break };
        let response = response.unwrap();
        let element = response.output("OUT").unwrap().elements::<i32>().unwrap()[0];
        found.push((element, response.output("IDX").unwrap().elements::<u32>().unwrap()[0]));
    }
    assert!(stream.next().await.is_none());
    found
}

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    let model = RepeatBackend.load(&source()).unwrap();
    let signature = Signature::from_config(&source().config).unwrap();
    contract::check(contract::ContractCase { model: &*model, signature, inputs: request(&[7], &[0], 0).inputs }).await;
}

#[tokio::test]
async fn each_element_is_a_response_and_none_is_none() {
    assert_eq!(responses(execute(request(&[5, -6, 7], &[0, 1, 0], 0)).await).await, [(5, 0), (-6, 1), (7, 2)]);
    assert_eq!(responses(execute(request(&[], &[], 0)).await).await, []);
}

#[tokio::test]
async fn gives_only_the_outputs_that_are_wanted() {
    let wanted = InferRequest { requested_outputs: vec!["IDX".into()], ..request(&[5], &[0], 0) };
    let mut stream = execute(wanted).await;
    let response = stream.next().await.unwrap().response.unwrap().unwrap();
    assert_eq!(response.outputs.iter().map(|output| &*output.name).collect::<Vec<_>>(), ["IDX"]);
}

#[tokio::test]
async fn responses_come_after_the_execution_has_returned() {
    let mut stream = execute(request(&[1], &[20], 0)).await;
    let early = std::pin::pin!(stream.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending();
    assert!(early, "the execution waited for its responses");
    assert_eq!(responses(stream).await, [(1, 0)]);
}

#[tokio::test]
async fn the_instance_is_held_for_as_long_as_the_request_says() {
    let (mut batch, stream) = batch(request(&[1], &[0], 20));
    let mut instance = RepeatInstance;
    let execution = instance.execute(&mut batch);
    tokio::pin!(execution);
    // The response is there while the instance is still held.
    tokio::select! {
        biased;
        found = responses(stream) => assert_eq!(found, [(1, 0)]),
        () = &mut execution => unreachable!("not held"),
    }
    execution.await;
}

/// Half an hour each, of which nobody waits.
#[tokio::test]
async fn a_client_that_leaves_frees_the_instance_and_stops_the_responses() {
    let (mut batch, stream) = batch(request(&[1, 2], &[0, 1_800_000], 1_800_000));
    drop(stream);
    RepeatInstance.execute(&mut batch).await;
}

#[tokio::test]
async fn elements_and_delays_of_different_number_are_refused() {
    let error = execute(request(&[1, 2], &[0], 0)).await.single().await.unwrap_err();
    assert_eq!(error.message(), "expected IN and DELAY shape to match, got [2] and [1]");
}

#[test]
fn a_configuration_of_other_tensors_is_refused_in_tritons_words() {
    let check = |change: fn(&mut ModelConfig), expected: &str| {
        let mut source = source();
        change(&mut source.config);
        assert_eq!(load_error(&RepeatBackend, &source), format!("model 'm': {expected}"));
    };
    check(|config| config.max_batch_size = 1, "repeat backend only supports models with max_batch_size == 0");
    check(|config| drop(config.inputs.pop()), "expected 3 inputs, got 2");
    check(|config| drop(config.outputs.pop()), "expected 2 outputs, got 1");
    check(|config| config.inputs.swap(0, 1), "expected first input tensor name to be IN, got DELAY");
    check(|config| config.outputs.swap(0, 1), "expected first output tensor name to be OUT, got IDX");
    check(|config| config.inputs[0].dims = vec![2, 2], "expected IN shape to have one dimension, got [2, 2]");
    check(|config| config.inputs[1].dims = vec![4], "expected IN and DELAY shape to match, got [-1] and [4]");
    check(|config| config.inputs[2].dims = vec![-1], "expected WAIT shape to be [1], got [-1]");
    let int64 = |config: &mut ModelConfig| config.outputs[0].data_type = DataType::Int64.into();
    check(int64, "expected OUT datatype to be TYPE_INT32, got TYPE_INT64");
}

#[test]
fn the_dims_that_count_are_those_of_the_reshape() {
    let mut source = source();
    let (elements, delays) = source.config.inputs.split_at_mut(1);
    for input in [&mut elements[0], &mut delays[0]] {
        (input.dims, input.reshape) = (vec![-1, 1], Some(Reshape { shape: vec![-1] }));
    }
    let output = &mut source.config.outputs[0];
    (output.dims, output.reshape) = (vec![1, 1], Some(Reshape { shape: vec![1] }));
    assert!(RepeatBackend.load(&source).is_ok());
    source.config.outputs[0].reshape = None;
    let expected = "model 'm': expected OUT shape to be [1], got [1, 1]";
    assert_eq!(load_error(&RepeatBackend, &source), expected);
}

#[test]
fn the_backend_says_that_it_can_be_decoupled() {
    let mut source = source();
    source.config.transaction_policy = Some(TransactionPolicy { decoupled: true });
    assert!(RepeatBackend.supports_decoupled() && RepeatBackend.load(&source).is_ok());
}
