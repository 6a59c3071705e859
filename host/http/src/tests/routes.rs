//! Every route: what a client sends, and what it gets.

use std::{
    convert::Infallible,
    io::{Read, Write},
    pin::pin,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::StreamBody;
use nereid_inference::{ErrorKind, InferError, ServerState};
use nereid_tensor::ALIGNMENT_BYTES;
use proptest::prelude::*;

use super::doubles::{Behaviour, ask, double, frontend, frontend_in, send};
use crate::{HttpLimits, HttpSettings, body, error, router};

const ONE_INPUT: &str = r#"{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":[1.5]}]}"#;
const ONE_BINARY: &str = r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"X","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}"#;

/// The one door: a request to models `m` (echoes) and `stream` (decoupled), its status and its body.
async fn check_with(line: &str, headers: &[(&str, &str)], body: &[u8], (status, expected): (u16, &str)) {
    let models = vec![double("m", Behaviour::Echo), double("stream", Behaviour::Echo).decoupled()];
    let answer = ask(frontend(models), line, headers, body).await;
    assert_eq!((answer.status.as_u16(), &*String::from_utf8_lossy(&answer.body)), (status, expected), "{line}");
}

async fn check(line: &str, body: &str, expected: (u16, &str)) {
    check_with(line, &[], body.as_bytes(), expected).await;
}

#[tokio::test]
async fn health_is_a_status_and_an_empty_body() {
    for (state, live, ready) in [
        (ServerState::Ready, 200, 200),
        (ServerState::NotReady, 200, 400),
        (ServerState::Starting, 200, 400),
        (ServerState::Exiting, 503, 503),
    ] {
        let status = |path: &'static str| async move { ask(frontend_in(vec![], state).0, path, &[], b"").await };
        assert_eq!(status("GET /v2/health/live").await.status.as_u16(), live, "{state:?}");
        assert_eq!(status("GET /v2/health/ready").await.status.as_u16(), ready, "{state:?}");
    }
    check("GET /v2/health/live", "", (200, "")).await;
    check("GET /v2/models/m/ready", "", (200, "")).await;
    check("GET /v2/models/m/versions/1/ready", "", (200, "")).await;
    check("GET /v2/models/m/versions/2/ready", "", (400, "")).await;
    check("GET /v2/models/none/ready", "", (400, "")).await;
    let sick = double("sick", Behaviour::Fail(InferError::unavailable("its process died")));
    let answer = ask(frontend(vec![sick]), "GET /v2/models/sick/ready", &[], b"").await;
    assert_eq!((answer.status.as_u16(), answer.body.is_empty()), (400, true));
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_told_apart() {
    for path in ["/", "/v2/", "/v2/models/m/nothing", "/v2/models/m/versions/x/infer", "/v2/models/a%2Fb/config"] {
        check(&format!("GET {path}"), "", (404, r#"{"error":"Not Found"}"#)).await;
    }
    check("POST /v2/models/a%2Fb/infer", ONE_INPUT, (404, r#"{"error":"Not Found"}"#)).await;
    check("GET /v2/models/m/infer", "", (405, r#"{"error":"Method Not Allowed"}"#)).await;
    check("POST /v2/health/live", "", (405, r#"{"error":"Method Not Allowed"}"#)).await;
    check("GET /v2/repository/index", "", (405, r#"{"error":"Method Not Allowed"}"#)).await;
}

#[tokio::test]
async fn documents_are_json_and_query_strings_are_ignored() {
    let metadata = r#"{"name":"m","versions":["1"],"platform":"double","inputs":[{"name":"X","datatype":"FP32","shape":[-1]}],"outputs":[{"name":"X","datatype":"FP32","shape":[-1]}]}"#;
    check("GET /v2/models/m?x=1", "", (200, metadata)).await;
    check("GET /v2/models/m/versions/1", "", (200, metadata)).await;
    check("GET /v2/models/%6D", "", (200, metadata)).await;
    let server = ask(frontend(vec![]), "GET /v2", &[], b"").await;
    assert_eq!(server.headers["content-type"], "application/json");
    assert!(server.body.starts_with(br#"{"name":"triton","version":"9.9","extensions":["#));
    let config = ask(frontend(vec![double("m", Behaviour::Echo)]), "GET /v2/models/m/config", &[], b"").await;
    assert!(config.body.starts_with(b"{") && config.status.is_success());
    let unknown = r#"{"error":"Request for unknown model: 'none' is not found"}"#;
    check("GET /v2/models/none", "", (404, unknown)).await;
    check("GET /v2/models/none/config", "", (404, unknown)).await;
}

#[tokio::test]
async fn statistics_are_of_all_of_one_or_of_one_version() {
    for path in ["/v2/models/stats", "/v2/models/m/stats", "/v2/models/m/versions/1/stats"] {
        let models = vec![double("m", Behaviour::Echo)];
        let answer = ask(frontend(models), &format!("GET {path}"), &[], b"").await;
        assert!(answer.body.starts_with(br#"{"model_stats":[{"name":"m","version":"1","#), "{answer:?}");
    }
    check("GET /v2/models/none/stats", "", (400, r#"{"error":"requested model 'none' is not available"}"#)).await;
    let version = r#"{"error":"requested model version is not available for model 'm'"}"#;
    check("GET /v2/models/m/versions/7/stats", "", (400, version)).await;
}

#[tokio::test]
async fn decisions_are_of_every_ready_version_or_of_one() {
    for path in ["/v2/debug/models/m/decisions", "/v2/debug/models/m/versions/1/decisions"] {
        let empty = r#"{"models":[{"name":"m","version":"1","batches":0,"decisions":[]}]}"#;
        check(&format!("GET {path}"), "", (200, empty)).await;
        check(&format!("POST {path}"), "", (405, r#"{"error":"Method Not Allowed"}"#)).await;
    }
    let unknown = r#"{"error":"requested model 'none' is not available"}"#;
    check("GET /v2/debug/models/none/decisions", "", (400, unknown)).await;
    check("GET /v2/debug/models/a%2Fb/decisions", "", (404, r#"{"error":"Not Found"}"#)).await;
    check("POST /v2/debug/models/a%2Fb/decisions", "", (404, r#"{"error":"Not Found"}"#)).await;
}

#[tokio::test]
async fn generations_are_shown_and_the_one_before_can_be_had_back() {
    let history = concat!(
        r#"{"models":[{"name":"m","generations":[{"generation":3,"time_us":5000000,"requested_by":"http","override":true,"#,
        r#""versions":[{"version":"1","blake3":"ab12"},{"version":"2"}],"state":"rolled_back","reason":"it was bad","#,
        r#""steps":[{"name":"compiled","time_us":2000}]}]}]}"#
    );
    check("GET /v2/debug/models/m/generations", "", (200, history)).await;
    check("POST /v2/debug/models/m/generations", "", (405, r#"{"error":"Method Not Allowed"}"#)).await;
    check("GET /v2/debug/models/a%2Fb/generations", "", (404, r#"{"error":"Not Found"}"#)).await;
    check("POST /v2/repository/models/a%2Fb/rollback", "", (404, r#"{"error":"Not Found"}"#)).await;
}

#[tokio::test]
async fn inference_answers_in_json_or_in_binary_as_asked() {
    let json =
        r#"{"model_name":"m","model_version":"1","outputs":[{"name":"X","datatype":"FP32","shape":[1],"data":[1.5]}]}"#;
    check("POST /v2/models/m/infer", ONE_INPUT, (200, json)).await;
    check("POST /v2/models/m/versions/1/infer", ONE_INPUT, (200, json)).await;
    let body = [ONE_BINARY.as_bytes(), &1.5_f32.to_le_bytes()].concat();
    let length = ONE_BINARY.len().to_string();
    let headers = [("Inference-Header-Content-Length", length.as_str()), ("Content-Encoding", "identity")];
    let models = vec![double("m", Behaviour::Echo)];
    let answer = ask(frontend(models), "POST /v2/models/m/infer", &headers, &body).await;
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let json_bytes: usize = answer.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(answer.body[json_bytes..], 1.5_f32.to_le_bytes());
    let raw = ask(
        frontend(vec![double("m", Behaviour::Echo)]),
        "POST /v2/models/m/infer",
        &[("Inference-Header-Content-Length", "0")],
        &1.5_f32.to_le_bytes(),
    )
    .await;
    assert_eq!(raw.body[raw.body.len() - 4..], 1.5_f32.to_le_bytes());
}

#[tokio::test]
async fn an_unknown_model_wins_over_a_malformed_body() {
    check("POST /v2/models/none/infer", "{", (404, r#"{"error":"Request for unknown model: 'none' is not found"}"#))
        .await;
    let version = r#"{"error":"Request for unknown model: 'm' version 9 is not found"}"#;
    check("POST /v2/models/m/versions/9/infer", "{", (404, version)).await;
    let huge = r#"{"error":"failed to get model version from specified version string '99999999999999999999' (details: stol), version should be an integral value > 0"}"#;
    check("POST /v2/models/none/versions/99999999999999999999/infer", "{", (400, huge)).await;
    let decoupled = r#"{"error":"HTTP end point doesn't support models with decoupled transaction policy"}"#;
    check("POST /v2/models/stream/infer", "{", (501, decoupled)).await;
}

#[tokio::test]
async fn bad_bodies_get_the_status_and_the_text_of_their_fault() {
    let line = "POST /v2/models/m/infer";
    let eof = r#"{"error":"failed to parse the request JSON buffer: EOF while parsing an object at line 1 column 1"}"#;
    check(line, "{", (500, eof)).await;
    let unknown_input = ONE_INPUT.replace("\"X\"", "\"Z\"");
    let text = r#"{"error":"[request id: <id_unknown>] unexpected inference input 'Z' for model 'm'"}"#;
    let models = vec![double("m", Behaviour::Echo)];
    let answer = ask(frontend(models), line, &[], unknown_input.as_bytes()).await;
    assert_eq!(answer.status, 400, "{answer:?} instead of {text}");
    let large = " ".repeat(4097);
    let text = r#"{"error":"request JSON size of 4097 bytes exceeds the maximum allowed input size of 4096 bytes. Use --http-max-input-size to increase the limit."}"#;
    check(line, &large, (400, text)).await;
    let header = |value| [("Inference-Header-Content-Length", value)];
    let text = r#"{"error":"inference header size should be in range (0, 2), got: 3"}"#;
    check_with(line, &header("3"), b"{}", (400, text)).await;
    let text = r#"{"error":"Unable to parse Inference-Header-Content-Length, got: x"}"#;
    check_with(line, &header("x"), b"{}", (400, text)).await;
    let text = r#"{"error":"unexpected additional input data for model 'm'"}"#;
    check_with(line, &header("13"), br#"{"inputs":[]}1"#, (400, text)).await;
}

#[tokio::test]
async fn codings_that_are_not_served_are_refused_with_those_that_are() {
    for coding in ["br", "gzip, deflate", "x"] {
        let models = vec![double("m", Behaviour::Echo)];
        let answer = ask(frontend(models), "POST /v2/models/m/infer", &[("Content-Encoding", coding)], b"").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (501, br#"{"error":"Unsupported compression type"}"#.as_slice())
        );
        assert_eq!(answer.headers["accept-encoding"], "gzip, deflate");
    }
    let unknown = r#"{"error":"Request for unknown model: 'none' is not found"}"#;
    check_with("POST /v2/models/none/infer", &[("Content-Encoding", "br")], b"", (404, unknown)).await;
}

#[tokio::test]
async fn the_header_length_counts_the_json_before_it_is_packed() {
    let mut body = ONE_BINARY.as_bytes().to_vec();
    body.extend_from_slice(&2.5_f32.to_le_bytes());
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&body).unwrap();
    let packed = encoder.finish().unwrap();
    let length = ONE_BINARY.len().to_string();
    let headers = [
        ("Content-Encoding", "deflate"),
        ("Accept-Encoding", "br, gzip"),
        ("Inference-Header-Content-Length", &length),
    ];
    let models = vec![double("m", Behaviour::Echo)];
    let answer = ask(frontend(models), "POST /v2/models/m/infer", &headers, &packed).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["content-encoding"]), (200, &"gzip".parse().unwrap()));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut unpacked).unwrap();
    let json_bytes: usize = answer.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    assert!(unpacked[..json_bytes].starts_with(b"{") && unpacked[..json_bytes].ends_with(b"}"));
    assert_eq!(unpacked[json_bytes..], 2.5_f32.to_le_bytes());
    check_with(
        "POST /v2/models/m/infer",
        &[("Content-Encoding", "deflate")],
        &packed[..packed.len() - 1],
        (400, r#"{"error":"the request body cannot be decompressed as its 'Content-Encoding: deflate' says: it ends too early, after 136 decompressed bytes; send it again whole, or without compression"}"#),
    )
    .await;
}

#[tokio::test]
async fn a_failure_of_the_model_keeps_its_kind() {
    let failing = double("m", Behaviour::Fail(InferError::resource_exhausted("queue is full")));
    let answer = ask(frontend(vec![failing]), "POST /v2/models/m/infer", &[], ONE_INPUT.as_bytes()).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (429, br#"{"error":"queue is full"}"#.as_slice()));
    for (kind, status) in [
        (ErrorKind::Internal, 500),
        (ErrorKind::NotFound, 404),
        (ErrorKind::Unavailable, 503),
        (ErrorKind::Unsupported, 501),
        (ErrorKind::InvalidArgument, 400),
        (ErrorKind::AlreadyExists, 400),
        (ErrorKind::Cancelled, 400),
        (ErrorKind::Permission, 403),
        (ErrorKind::DeadlineExceeded, 504),
    ] {
        assert_eq!(error::status(kind).as_u16(), status);
    }
}

#[tokio::test]
async fn the_repository_is_told_what_the_client_asked() {
    let both = r#"[{"name":"m","version":"1","state":"READY"},{"name":"m","version":"2","state":"UNAVAILABLE","reason":"unloaded"}]"#;
    check("POST /v2/repository/index", "", (200, both)).await;
    check("POST /v2/repository/any/index", "", (200, both)).await;
    check("POST /v2/repository/index", r#"{"ready":true}"#, (200, r#"[{"name":"m","version":"1","state":"READY"}]"#))
        .await;
    let (frontend, mut calls) = frontend_in(vec![], ServerState::Ready);
    let router = router(frontend);
    let post = |path: &str, body: &'static str| Request::post(path).body(Body::from(body)).unwrap();
    assert_eq!(send(&router, post("/v2/repository/models/a%20b/load", "")).await.status, 200);
    assert_eq!(calls.recv().await.unwrap(), "load a b");
    let overrides = r#"{"parameters":{"config":"{}","file:1/model.onnx":"b25u\neA=="}}"#;
    assert_eq!(send(&router, post("/v2/repository/models/m/load", overrides)).await.status, 200);
    assert_eq!(calls.recv().await.unwrap(), "load m{} 1/model.onnx=4");
    let dependents = r#"{"parameters":{"unload_dependents":true}}"#;
    assert_eq!(send(&router, post("/v2/repository/models/m/unload", dependents)).await.status, 200);
    assert_eq!(calls.recv().await.unwrap(), "unload m true");
    assert_eq!(send(&router, post("/v2/repository/models/a%20b/rollback", "")).await.status, 200);
    assert_eq!(calls.recv().await.unwrap(), "roll back a b for http");
    assert_eq!(send(&router, post("/v2/repository/models/broken/load", "")).await.status, 500);
    let named = send(&router, post("/v2/repository/r/models/m/load", "")).await;
    assert_eq!(&named.body[..], br#"{"error":"'repository_name' specification is not supported"}"#);
    assert_eq!(named.status, 501);
}

fn limited(limits: HttpLimits) -> HttpSettings {
    HttpSettings { limits, ..HttpSettings::new("", "") }
}

/// A body of unknown length in the frames given.
fn chunked(frames: Vec<Bytes>) -> impl http_body::Body<Data = Bytes, Error = Infallible> {
    StreamBody::new(stream::iter(frames.into_iter().map(|frame| Ok(http_body::Frame::data(frame)))))
}

#[tokio::test]
async fn one_frame_is_used_as_it_is_and_several_are_gathered_aligned() {
    let limits = body::BodyLimits::new(&HttpSettings::new("", ""));
    let frame = Bytes::from(vec![1; 100]);
    let gathered = body::gather(pin!(chunked(vec![frame.clone()])), limits, 0).await.unwrap();
    assert_eq!(gathered.as_ptr(), frame.as_ptr());
    let frames = vec![Bytes::from(vec![1; 70_001]), Bytes::from(vec![2; 99]), Bytes::from(vec![3; 200_000])];
    let gathered = body::gather(pin!(chunked(frames.clone())), limits, 70_050).await.unwrap();
    assert_eq!(gathered, frames.concat());
    assert!((gathered[70_050..].as_ptr() as usize).is_multiple_of(ALIGNMENT_BYTES));
}

#[tokio::test]
async fn a_chunked_body_stops_at_the_limit() {
    let settings = limited(HttpLimits { input_bytes_max: 150, ..HttpLimits::default() });
    let frames = vec![Bytes::from(vec![1; 100]); 3];
    let refusal = body::gather(pin!(chunked(frames)), body::BodyLimits::new(&settings), 0).await.unwrap_err();
    let error::Refusal::Error(refusal) = refusal else { panic!("{refusal:?}") };
    assert!(refusal.message().starts_with("request JSON size of 200 bytes exceeds"), "{refusal}");
}

#[tokio::test]
async fn a_chunked_body_in_too_many_pieces_is_refused_and_its_rest_is_not_read() {
    let settings = limited(HttpLimits { chunks_max: 3, ..HttpLimits::default() });
    let limits = body::BodyLimits::new(&settings);
    let frames = |count| pin_frames(vec![Bytes::from_static(b"x"); count]);
    assert_eq!(body::gather(frames(3).as_mut(), limits, 0).await.unwrap().len(), 3);
    let refusal = body::gather(frames(4).as_mut(), limits, 0).await.unwrap_err();
    assert!(refusal.ends_the_connection());
    let response = http::Response::from(refusal);
    assert_eq!(response.status().as_u16(), 400);
    let text = response.into_body().into_frames().next().unwrap();
    let expected = "Chunked request body exceeds maximum of 3 non-empty chunks. Send fewer or larger HTTP chunks.";
    assert_eq!(text, format!(r#"{{"error":"{expected}"}}"#));
}

fn pin_frames(frames: Vec<Bytes>) -> std::pin::Pin<Box<impl http_body::Body<Data = Bytes, Error = Infallible>>> {
    Box::pin(chunked(frames))
}

#[tokio::test]
async fn head_is_a_method_like_any_other() {
    for path in ["/v2/health/live", "/v2", "/v2/models/m", "/v2/models/m/infer", "/v2/logging"] {
        let head = Request::builder().method("HEAD").uri(path).body(Body::empty()).unwrap();
        assert_eq!(send(&router(frontend(vec![])), head).await.status.as_u16(), 405, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let settings = limited(HttpLimits { body_idle_max: Duration::from_millis(1), ..HttpLimits::default() });
    let limits = body::BodyLimits::new(&settings);
    let endless = StreamBody::new(stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>());
    let refusal = body::gather(pin!(endless), limits, 0).await.unwrap_err();
    assert!(matches!(refusal, error::Refusal::SlowBody));
}

proptest! {
    #[test]
    fn no_body_makes_the_server_fail_without_an_error_body(body in proptest::collection::vec(any::<u8>(), 0..128), length in 0..200_i32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let length = length.to_string();
        let headers = [("Inference-Header-Content-Length", length.as_str())];
        let models = vec![double("m", Behaviour::Echo)];
        let answer = runtime.block_on(ask(frontend(models), "POST /v2/models/m/infer", &headers, &body));
        let is_answer = answer.status.is_success() || answer.body.starts_with(br#"{"error":""#);
        prop_assert!(is_answer, "{:?}", answer);
    }
}
