//! What either side of a channel sees of the other.

use futures_util::poll;

use super::*;

#[tokio::test]
async fn a_dropped_sender_ends_the_stream_with_an_error() {
    let (sender, stream) = response_channel();
    drop(sender);
    let error = stream.single().await.unwrap_err();
    assert_eq!(error.message(), "the model dropped the request without a final response");
}

#[tokio::test]
async fn responses_arrive_in_order_and_end_once() {
    let (mut sender, mut stream) = response_channel();
    assert!(sender.send(Ok(InferResponse::default())).await);
    assert!(sender.send(Err(InferError::internal("second"))).await);
    sender.finish();
    assert!(matches!(stream.next().await, Some(Delivery { response: Some(Ok(_)), last: false })));
    assert!(matches!(stream.next().await, Some(Delivery { response: Some(Err(_)), last: false })));
    assert!(matches!(stream.next().await, Some(Delivery { response: None, last: true })));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn two_responses_are_not_a_single_one() {
    let (mut sender, stream) = response_channel();
    sender.send(Ok(InferResponse::default())).await;
    sender.respond(Ok(InferResponse::default()));
    assert_eq!(stream.single().await.unwrap_err().message(), "expected a single response, got 2");
}

#[tokio::test]
async fn a_full_channel_makes_the_sender_wait_for_the_reader() {
    let (mut sender, mut stream) = response_channel();
    for _ in 0..=RESPONSES_BUFFERED_MAX {
        sender.send(Ok(InferResponse::default())).await;
    }
    let mut waiting = Box::pin(sender.send(Ok(InferResponse::default())));
    assert!(poll!(waiting.as_mut()).is_pending());
    stream.next().await;
    assert!(poll!(waiting.as_mut()).is_ready());
}

#[derive(Debug)]
struct Stub;

impl crate::Ticket for Stub {}

#[tokio::test]
async fn a_reader_goes_on_with_the_stream_that_is_handed_over() {
    let (sender, mut stream) = response_channel();
    let (mut late, successor) = response_channel();
    let ticket: SharedTicket = Arc::new(Stub);
    let mut reading = Box::pin(stream.next());
    assert!(poll!(reading.as_mut()).is_pending());
    sender.continue_with(successor.holding(ticket.clone()));
    assert!(poll!(reading.as_mut()).is_pending());
    late.send(Ok(InferResponse::default())).await;
    assert!(matches!(reading.await, Some(Delivery { response: Some(Ok(_)), last: false })));
    late.finish();
    assert!(matches!(stream.next().await, Some(Delivery { response: None, last: true })));
    assert_eq!(Arc::strong_count(&ticket), 2);
    drop(stream);
    assert_eq!(Arc::strong_count(&ticket), 1);
}

#[tokio::test]
async fn a_reader_that_is_gone_cancels_what_is_handed_over() {
    let (late, successor) = response_channel();
    let (sender, stream) = response_channel();
    drop(stream);
    sender.continue_with(successor);
    assert!(late.is_cancelled());

    let (late, successor) = response_channel();
    let (sender, stream) = response_channel();
    sender.continue_with(successor);
    assert!(!late.is_cancelled());
    drop(stream);
    assert!(late.is_cancelled());
}

#[tokio::test]
async fn dropping_the_stream_cancels_and_frees_a_waiting_sender() {
    let (mut sender, stream) = response_channel();
    for _ in 0..=RESPONSES_BUFFERED_MAX {
        sender.send(Ok(InferResponse::default())).await;
    }
    assert!(!sender.is_cancelled());
    drop(stream);
    sender.cancelled().await;
    assert!(sender.is_cancelled());
    assert!(!sender.send(Ok(InferResponse::default())).await);
}
