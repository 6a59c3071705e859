//! `generate` and `generate_stream`: one answer, several, failures before and after the first, and clients that leave.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use nereid_inference::{InferError, InferResponse, NamedTensor};
use nereid_tensor::Tensor;
use tokio::sync::mpsc;
use tower_service::Service;

use super::doubles::{Behaviour, ask, double, frontend};
use crate::{HttpFrontend, router};

const ONE: &str = r#"{"model_name":"m","model_version":"1","X":1.5}"#;
const NOT_ONE: &str = r#"{"error":"generate expects model to produce exactly 1 response, use generate stream for model that generates various number of responses"}"#;
const EVENTS: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

fn number(value: f32) -> InferResponse {
    InferResponse::new(vec![NamedTensor::new("X", Tensor::from_elements([1], &[value]).unwrap())])
}

/// A model `m` that answers this, whatever it is asked.
fn script(script: &[Result<f32, &str>]) -> HttpFrontend {
    let answer = |answer: &Result<f32, &str>| answer.map(number).map_err(InferError::unavailable);
    frontend(vec![double("m", Behaviour::Script(script.iter().map(answer).collect())).decoupled()])
}

/// The one door: status, type and text of an answer.
async fn check(frontend: HttpFrontend, action: &str, body: &str, (status, kind, expected): (u16, &str, &str)) {
    let answer = ask(frontend, &format!("POST /v2/models/m/{action}"), &[], body.as_bytes()).await;
    let found = (answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap(), &*answer.body);
    assert_eq!(found, (status, kind, expected.as_bytes()), "{:?}", answer.body);
}

fn echo() -> HttpFrontend {
    frontend(vec![double("m", Behaviour::Echo)])
}

#[tokio::test]
async fn a_model_with_one_answer_serves_both_endpoints() {
    let event = format!("data: {ONE}\n\n");
    for version in ["", "versions/1/"] {
        check(echo(), &format!("{version}generate"), r#"{"X":1.5,"top_p":1}"#, (200, JSON, ONE)).await;
        check(echo(), &format!("{version}generate_stream"), r#"{"X":[1.5]}"#, (200, EVENTS, &event)).await;
    }
    let with_id = r#"{"id":"7","model_name":"m","model_version":"1","X":[1.0,2.0]}"#;
    check(echo(), "generate", r#"{"id":"7","parameters":{"X":[1,2]}}"#, (200, JSON, with_id)).await;
    check(script(&[Ok(1.5)]), "generate", r#"{"X":0}"#, (200, JSON, ONE)).await;
}

#[tokio::test]
async fn several_answers_are_events_and_no_single_answer() {
    let two = ONE.replace("1.5", "2.5");
    let events = format!("data: {ONE}\n\ndata: {two}\n\n");
    check(script(&[Ok(1.5), Ok(2.5)]), "generate_stream", r#"{"X":0}"#, (200, EVENTS, &events)).await;
    check(script(&[]), "generate_stream", r#"{"X":0}"#, (200, EVENTS, "")).await;
    check(script(&[Ok(1.5), Ok(2.5)]), "generate", r#"{"X":0}"#, (200, JSON, NOT_ONE)).await;
    check(script(&[]), "generate", r#"{"X":0}"#, (200, JSON, NOT_ONE)).await;
    check(script(&[Err("broke"), Ok(2.5)]), "generate", r#"{"X":0}"#, (503, JSON, NOT_ONE)).await;
}

#[tokio::test]
async fn the_first_answer_fixes_the_status_and_later_failures_are_events() {
    let error = r#"{"error":"broke"}"#;
    let (late, early) = (format!("data: {ONE}\n\ndata: {error}\n\n"), format!("data: {error}\n\ndata: {ONE}\n\n"));
    check(script(&[Ok(1.5), Err("broke")]), "generate_stream", r#"{"X":0}"#, (200, EVENTS, &late)).await;
    check(script(&[Err("broke"), Ok(1.5)]), "generate_stream", r#"{"X":0}"#, (503, EVENTS, &early)).await;
    check(script(&[Err("broke")]), "generate", r#"{"X":0}"#, (503, JSON, error)).await;
}

#[tokio::test]
async fn a_failure_before_inference_is_an_ordinary_error_on_both_endpoints() {
    let missing = r#"{"error":"[request id: <id_unknown>] expected 1 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing required input(s) ['X']. Please provide all required input(s)."}"#;
    let wrong = r#"{"error":"Unable to parse 'data': attempt to access JSON non-number as double"}"#;
    let eof = r#"{"error":"failed to parse the request JSON buffer: EOF while parsing an object at line 1 column 1"}"#;
    for action in ["generate", "generate_stream"] {
        check(echo(), action, "{}", (400, JSON, missing)).await;
        check(echo(), action, r#"{"X":"a"}"#, (500, JSON, wrong)).await;
        check(echo(), action, "{", (500, JSON, eof)).await;
        let unknown = r#"{"error":"Request for unknown model: 'm' is not found"}"#;
        check(frontend(vec![]), action, "{", (404, JSON, unknown)).await;
        let version = r#"{"error":"Request for unknown model: 'm' version 2 is not found"}"#;
        check(echo(), &format!("versions/2/{action}"), "{", (404, JSON, version)).await;
        let large = r#"{"error":"request JSON size of 4097 bytes exceeds the maximum allowed input size of 4096 bytes. Use --http-max-input-size to increase the limit."}"#;
        check(echo(), action, &" ".repeat(4097), (400, JSON, large)).await;
        let get = ask(echo(), &format!("GET /v2/models/m/{action}"), &[], b"").await;
        assert_eq!(get.status, 405);
    }
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    let line = "POST /v2/models/m/generate";
    for encoding in ["gzip", "deflate", "br"] {
        let answer = ask(echo(), line, &[("Content-Encoding", encoding)], b"x").await;
        let text = r#"{"error":"Unsupported content-encoding, only 'identity' is supported."}"#;
        assert_eq!((answer.status.as_u16(), &*answer.body), (400, text.as_bytes()));
    }
    assert_eq!(ask(echo(), line, &[("Content-Encoding", "identity")], br#"{"X":1}"#).await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_an_event_stream_cancels_its_request() {
    let (senders, mut held) = mpsc::unbounded_channel();
    let mut router = router(frontend(vec![double("m", Behaviour::Hold(senders))]));
    let request = Request::post("/v2/models/m/generate_stream").body(Body::from(r#"{"X":1}"#)).unwrap();
    let answering = tokio::spawn(async move { router.call(request).await.unwrap() });
    let mut sender = held.recv().await.unwrap();
    assert!(sender.send(Ok(number(1.5))).await);
    let mut response = answering.await.unwrap();
    let event = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(event, format!("data: {ONE}\n\n"));
    assert!(!sender.is_cancelled());
    drop(response);
    sender.cancelled().await;
}
