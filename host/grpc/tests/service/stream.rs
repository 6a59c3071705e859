//! `ModelStreamInfer`.

use nereid_inference::InferError;
use tonic::Code;

use crate::{
    fake::number,
    fixture::{Fixture, assert_status, request, request_with_empty_final, within},
};

#[tokio::test]
async fn models_with_one_response_answer_in_the_order_of_the_requests() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("held", "a"));
    stream.send(request("held", "b"));
    let (a, b) = (fixture.held().await, fixture.held().await);
    assert_eq!((a.request.id.as_str(), b.request.id.as_str()), ("a", "b"));
    b.sender.respond(Ok(number(2)));
    a.sender.respond(Ok(number(1)));
    assert_eq!(stream.answer().await, "a 1 final");
    assert_eq!(stream.answer().await, "b 2 final");
}

#[tokio::test]
async fn decoupled_models_answer_as_they_please_each_in_its_own_order() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("decoupled", "a"));
    stream.send(request("decoupled", "b"));
    let (mut a, mut b) = (fixture.held().await, fixture.held().await);
    assert!(b.sender.send(Ok(number(1))).await);
    assert_eq!(stream.answer().await, "b 1");
    assert!(a.sender.send(Ok(number(2))).await);
    assert_eq!(stream.answer().await, "a 2");
    b.sender.respond(Ok(number(3)));
    assert_eq!(stream.answer().await, "b 3 final");
    assert!(a.sender.send(Ok(number(4))).await);
    assert!(a.sender.send(Ok(number(5))).await);
    assert_eq!(stream.answer().await, "a 4");
    assert_eq!(stream.answer().await, "a 5");
}

#[tokio::test]
async fn a_decoupled_model_does_not_wait_for_one_that_answers_in_order() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("held", "slow"));
    stream.send(request("decoupled", "quick"));
    let (slow, quick) = (fixture.held().await, fixture.held().await);
    quick.sender.respond(Ok(number(1)));
    assert_eq!(stream.answer().await, "quick 1 final");
    slow.sender.respond(Ok(number(2)));
    assert_eq!(stream.answer().await, "slow 2 final");
}

#[tokio::test]
async fn an_end_without_a_response_is_told_only_to_those_who_asked() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("decoupled", "silent"));
    fixture.held().await.sender.finish();
    stream.send(request_with_empty_final("decoupled", "told"));
    let mut told = fixture.held().await;
    assert!(told.sender.send(Ok(number(1))).await);
    told.sender.finish();
    assert_eq!(stream.answer().await, "told 1");
    assert_eq!(stream.answer().await, "told - final");
}

#[tokio::test]
async fn a_failure_names_its_request_and_the_stream_goes_on() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("fails", "a"));
    stream.send(request("nobody", "b"));
    stream.send(request("panics", "c"));
    let mut short = request("echo", "d");
    short.raw_input_contents.clear();
    stream.send(short);
    stream.send(request("echo", "e"));
    assert_eq!(stream.answer().await, "a - final the queue is full");
    assert_eq!(stream.answer().await, "b - final Request for unknown model: 'nobody' is not found");
    assert!(stream.answer().await.starts_with("c - final the server met an internal fault (a panic)"));
    let expected = "d - final unable to find data for input tensor 'IN' for model 'echo' in request.";
    assert_eq!(stream.answer().await, expected);
    assert_eq!(stream.answer().await, "e 7 final");
}

#[tokio::test]
async fn a_failure_between_the_responses_of_a_decoupled_model_is_one_of_them() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("decoupled", "a"));
    let mut a = fixture.held().await;
    assert!(a.sender.send(Err(InferError::internal("lost one"))).await);
    a.sender.respond(Ok(number(2)));
    assert_eq!(stream.answer().await, "a - lost one");
    assert_eq!(stream.answer().await, "a 2 final");
}

#[tokio::test]
async fn a_strict_stream_ends_with_the_first_errors_status_and_cancels_the_rest() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream_with_metadata(&[("triton_grpc_error", "true")]).await;
    stream.send(request("decoupled", "a"));
    let a = fixture.held().await;
    stream.send(request("fails", "b"));
    assert_status(stream.next().await, Code::Unavailable, "the queue is full");
    a.cancelled().await;
}

#[tokio::test]
async fn more_than_one_response_from_a_model_that_gives_one_is_an_error() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("held", "a"));
    let mut a = fixture.held().await;
    assert!(a.sender.send(Ok(number(1))).await);
    a.sender.respond(Ok(number(2)));
    assert_eq!(stream.answer().await, "a - final expected a single response, got 2");
}

#[tokio::test]
async fn after_its_last_request_a_client_gets_what_is_under_way() {
    let mut fixture = Fixture::start().await;
    let mut stream = fixture.stream().await;
    stream.send(request("held", "a"));
    stream.send(request("decoupled", "b"));
    let (a, mut b) = (fixture.held().await, fixture.held().await);
    let (closed, _) = tokio::sync::mpsc::unbounded_channel();
    stream.requests = closed;
    assert!(b.sender.send(Ok(number(1))).await);
    assert_eq!(stream.answer().await, "b 1");
    a.sender.respond(Ok(number(2)));
    assert_eq!(stream.answer().await, "a 2 final");
    b.sender.finish();
    assert!(stream.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_that_drops_its_stream_cancels_all_of_its_requests() {
    let mut fixture = Fixture::start().await;
    let stream = fixture.stream().await;
    stream.send(request("held", "a"));
    stream.send(request("held", "b"));
    stream.send(request("decoupled", "c"));
    let (a, b, c) = (fixture.held().await, fixture.held().await, fixture.held().await);
    drop(stream);
    a.cancelled().await;
    b.cancelled().await;
    c.cancelled().await;
}

#[tokio::test]
async fn a_full_stream_is_read_again_when_a_request_has_left_it() {
    let mut fixture = Fixture::start_with(|settings| settings.limits.stream_requests_in_flight_max = 1).await;
    let mut stream = fixture.stream().await;
    stream.send(request("decoupled", "a"));
    stream.send(request("held", "b"));
    stream.send(request("echo", "c"));
    // "a" leaves without a word.
    fixture.held().await.sender.finish();
    fixture.held().await.sender.respond(Ok(number(2)));
    assert_eq!(stream.answer().await, "b 2 final");
    assert_eq!(stream.answer().await, "c 7 final");
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_it_took_and_ends_idle_streams() {
    let mut fixture = Fixture::start().await;
    let mut idle = fixture.stream().await;
    let mut busy = fixture.stream().await;
    busy.send(request("held", "a"));
    let a = fixture.held().await;
    let server = fixture.stop();
    let text = "GRPC server is shutting down and has stopped accepting new requests.";
    assert_status(idle.next().await, Code::Unavailable, text);
    a.sender.respond(Ok(number(1)));
    assert_eq!(busy.answer().await, "a 1 final");
    assert_status(busy.next().await, Code::Unavailable, text);
    within(server).await.unwrap().unwrap();
}
