//! `square` through its seam: how many responses, which fail and which are left out, who stops it, what is refused.

use nereid_backend::contract;
use nereid_inference::{InferRequest, Signature, response_channel};

use super::*;
use crate::tensors::fixture::{self, load_error};

fn source(parameters: &[(&str, &str)]) -> ModelSource {
    let mut source = fixture::source(&[("IN", DataType::Int32, &[1])], &[("OUT", DataType::Int32, &[1])]);
    let owned = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    source.config.parameters = owned.collect();
    source
}

fn request(number: i32) -> InferRequest {
    InferRequest::new(vec![NamedTensor::new("IN", Tensor::from_elements([1], &[number]).unwrap())])
}

/// What each response says: its number, or its error.
async fn responses(parameters: &[(&str, &str)], number: i32) -> Vec<Result<i32, String>> {
    let source = source(parameters);
    let settings = Settings::read(&source.config).unwrap();
    let checked = Signature::from_config(&source.config).unwrap().check(request(number)).unwrap();
    let (sender, mut stream) = response_channel();
    let mut batch = Batch::new([(checked, sender)]);
    SquareInstance(settings).execute(&mut batch).await;
    for (sender, result) in batch.finish().filter_map(|finished| finished.answer) {
        sender.respond(result);
    }
    let mut found = Vec::new();
    while let Some(response) = stream.next().await.and_then(|delivery| delivery.response) {
        let number = |response: InferResponse| response.output("OUT").unwrap().elements::<i32>().unwrap()[0];
        found.push(response.map(number).map_err(|error| error.message().to_owned()));
    }
    found
}

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    let source = source(&[]);
    let model = SquareBackend.load(&source).unwrap();
    let signature = Signature::from_config(&source.config).unwrap();
    contract::check(contract::ContractCase { model: &*model, signature, inputs: request(1).inputs }).await;
}

#[tokio::test]
async fn the_number_comes_as_often_as_it_says() {
    assert_eq!(responses(&[], 3).await, [Ok(3), Ok(3), Ok(3)]);
    assert_eq!(responses(&[], 0).await, []);
}

#[tokio::test]
async fn the_last_responses_fail_or_are_left_out() {
    let failure = || Err("simulated failure".to_owned());
    assert_eq!(responses(&[("CUSTOM_FAIL_COUNT", "2")], 3).await, [Ok(3), failure(), failure()]);
    assert_eq!(responses(&[("CUSTOM_EMPTY_COUNT", "1")], 2).await, [Ok(2)]);
    let both = [("CUSTOM_FAIL_COUNT", "1"), ("CUSTOM_EMPTY_COUNT", "9")];
    assert_eq!(responses(&both, 2).await, []);
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_responses() {
    let hour = Duration::from_secs(3_600);
    let settings = Settings { infer_delay: hour, ..Settings::read(&source(&[]).config).unwrap() };
    let (sender, stream) = response_channel();
    drop(stream);
    Square { settings, number: 2, shape: [1].into() }.respond(sender).await;
}

#[tokio::test]
async fn a_number_below_zero_is_no_number_of_responses() {
    let text = "IN is -1, which is no number of responses; expected 0 or more";
    assert_eq!(responses(&[], -1).await, [Err(text.to_owned())]);
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    assert_eq!(
        load_error(&SquareBackend, &source(&[("CUSTOM_FAIL_COUNT", "few")])),
        "model 'm': parameter 'CUSTOM_FAIL_COUNT' is 'few', expected a whole number"
    );
    let mut source = source(&[]);
    source.config.inputs.clear();
    assert_eq!(load_error(&SquareBackend, &source), "model 'm': expected 1 input, got 0");
}
