//! How connections live, and what a client's deadline means.

use std::time::Duration;

use nereid_grpc::generated::grpc_inference_service_client::GrpcInferenceServiceClient;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Request, transport::Channel};

use crate::fixture::{Fixture, request, within};

const MOMENT: Duration = Duration::from_millis(50);

/// What a client says first: the preface and its settings, none.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const GOAWAY: u8 = 7;

/// The types of the HTTP/2 frames in what a server said.
fn frame_types(mut said: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [a, b, c, frame_type, rest @ ..] = said {
        types.push(*frame_type);
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        said = &rest[(5 + length).min(rest.len())..];
    }
    types
}

#[tokio::test]
async fn an_answer_within_the_deadline_is_not_held_up() {
    let mut fixture = Fixture::start().await;
    let mut early = Request::new(request("echo", "7"));
    early.metadata_mut().insert("grpc-timeout", "20S".parse().unwrap());
    assert_eq!(within(fixture.client.model_infer(early)).await.unwrap().into_inner().id, "7");
}

#[tokio::test]
async fn an_aged_connection_is_asked_to_go_and_finishes_what_is_under_way() {
    let mut fixture = Fixture::start_with(|settings| settings.connections.age_max = Some(MOMENT)).await;
    let mut stream = fixture.stream().await;
    stream.send(request("held", "a"));
    let mut held = fixture.held().await;
    // The ages of the first connections ascend: when this one is told to go, the stream's was before.
    let mut younger = TcpStream::connect(fixture.address).await.unwrap();
    younger.write_all(GREETING).await.unwrap();
    let mut said = Vec::new();
    while !frame_types(&said).contains(&GOAWAY) {
        assert!(within(younger.read_buf(&mut said)).await.unwrap() > 0, "closed without a word: {said:?}");
    }
    assert!(held.sender.send(Ok(crate::fake::number(4))).await);
    held.sender.finish();
    assert_eq!(stream.answer().await, "a 4 final");
}

#[tokio::test]
async fn a_connection_that_stays_beyond_its_grace_is_ended_and_its_requests_are_cancelled() {
    let mut fixture = Fixture::start_with(|settings| {
        settings.connections.age_max = Some(MOMENT);
        settings.connections.age_grace = Some(MOMENT);
    })
    .await;
    let mut stream = fixture.stream().await;
    stream.send(request("held", "a"));
    let held = fixture.held().await;
    assert!(stream.next().await.is_err());
    held.cancelled().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let fixture = Fixture::start_with(|settings| settings.limits.greeting_max = MOMENT).await;
    let mut silent = TcpStream::connect(fixture.address).await.unwrap();
    // The server may send its own settings first.
    let mut said = Vec::new();
    within(silent.read_to_end(&mut said)).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_to_leave() {
    let mut fixture = Fixture::start_with(|settings| settings.limits.connections_max = 1).await;
    let address = format!("http://{}", fixture.address);
    let mut second = GrpcInferenceServiceClient::new(Channel::from_shared(address).unwrap().connect_lazy());
    let waiting = tokio::spawn(async move { second.model_infer(request("echo", "")).await });
    for _ in 0..100 {
        assert!(within(fixture.client.model_infer(request("echo", ""))).await.is_ok());
    }
    assert!(!waiting.is_finished());
    fixture.disconnect();
    assert!(within(waiting).await.unwrap().is_ok());
}
