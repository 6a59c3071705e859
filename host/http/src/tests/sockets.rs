//! The connection loop on 127.0.0.1: requests in pieces, disconnects, panics, and the graceful end.

use std::{future::Future, net::SocketAddr, time::Duration};

use nereid_access::Category;
use nereid_inference::InferResponse;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    access::restricted,
    doubles::{Behaviour, double, frontend},
};
use crate::{HttpFrontend, serve};

/// No step of these tests takes long; a step that hangs fails instead of waiting for ever.
const STEP_MAX: Duration = Duration::from_secs(20);

const BODY: &str = r#"{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":[1.5]}]}"#;

struct Running {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

async fn start(frontend: HttpFrontend) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, ended) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, frontend, async move {
        let _ = ended.await;
    }));
    Running { address, shutdown, server }
}

async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(STEP_MAX, step).await.unwrap()
}

fn post(model: &str, body: &str) -> String {
    format!("POST /v2/models/{model}/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Reads one response whose length is announced.
async fn read_response(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        assert_ne!(within(stream.read_buf(&mut received)).await.unwrap(), 0, "ended early after {text}");
    }
}

#[tokio::test]
async fn requests_share_a_connection_even_when_they_come_in_pieces() {
    let running = start(frontend(vec![double("m", Behaviour::Echo)])).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = post("m", BODY);
    let (first, second) = request.split_at(request.len() - 20);
    stream.write_all(first.as_bytes()).await.unwrap();
    stream.write_all(second.as_bytes()).await.unwrap();
    assert!(read_response(&mut stream).await.ends_with(r#""shape":[1],"data":[1.5]}]}"#));
    stream.write_all(b"GET /v2/models/m/ready HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_refusal_reads_the_body_or_says_that_the_connection_ends() {
    let mut roomy = frontend(vec![double("m", Behaviour::Echo)]);
    roomy.settings.limits.input_bytes_max = 1 << 20;
    let running = start(roomy).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let request = post("none", &" ".repeat(1 << 20));
    let mut first = [0_u8; 12];
    let (written, read) =
        within(async { tokio::join!(writing.write_all(request.as_bytes()), reading.read_exact(&mut first)) }).await;
    written.unwrap();
    read.unwrap();
    assert_eq!(&first, b"HTTP/1.1 404");
    let rest = read_response(&mut stream).await;
    assert!(!rest.contains("connection: close"), "{rest}");
    stream.write_all(post("m", BODY).as_bytes()).await.unwrap();
    assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    let endless = "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n";
    stream.write_all(endless.as_bytes()).await.unwrap();
    let refusal = read_response(&mut stream).await;
    assert!(refusal.starts_with("HTTP/1.1 400 ") && refusal.contains("connection: close"), "{refusal}");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let (senders, mut held) = mpsc::unbounded_channel();
    let running = start(frontend(vec![double("m", Behaviour::Hold(senders))])).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(post("m", BODY).as_bytes()).await.unwrap();
    let mut sender = within(held.recv()).await.unwrap();
    assert!(!sender.is_cancelled());
    drop(stream);
    // The channel is bounded: a sender that nobody reads ends up waiting until the request is cancelled.
    within(async { while sender.send(Ok(InferResponse::default())).await {} }).await;
    assert!(sender.is_cancelled());
}

#[tokio::test]
async fn a_panic_answers_its_own_request_and_the_connection_goes_on() {
    let models = vec![double("bad", Behaviour::Panic), double("m", Behaviour::Echo)];
    let running = start(frontend(models)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(post("bad", BODY).as_bytes()).await.unwrap();
    let response = read_response(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    assert!(response.ends_with(r#"{"error":"the server panicked while it answered this request"}"#), "{response}");
    stream.write_all(post("m", BODY).as_bytes()).await.unwrap();
    assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_truncated_body_ends_the_connection_without_reaching_the_model() {
    let (senders, mut held) = mpsc::unbounded_channel();
    let running = start(frontend(vec![double("m", Behaviour::Hold(senders))])).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = post("m", BODY);
    stream.write_all(&request.as_bytes()[..request.len() - 5]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert!(held.try_recv().is_err());
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let mut quick = frontend(vec![]);
    quick.settings.limits.head_read_max = Duration::from_millis(50);
    let running = start(quick).await;
    for said in ["", "PR", "GET /v2 HTTP/1.1\r\nhos"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        within(stream.read_to_end(&mut rest)).await.unwrap();
    }
}

#[tokio::test]
async fn shutdown_waits_for_the_requests_under_way() {
    let (senders, mut held) = mpsc::unbounded_channel();
    let running = start(frontend(vec![double("m", Behaviour::Hold(senders))])).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(post("m", BODY).as_bytes()).await.unwrap();
    let sender = within(held.recv()).await.unwrap();
    running.shutdown.send(()).unwrap();
    sender.respond(Ok(InferResponse::default()));
    assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    within(running.server).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_denied_inference_is_refused_before_the_fast_path_and_the_connection_goes_on() {
    let running = start(restricted(&[Category::Inference])).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for model in ["m", "none"] {
        stream.write_all(post(model, BODY).as_bytes()).await.unwrap();
        let response = read_response(&mut stream).await;
        assert!(response.starts_with("HTTP/1.1 403 ") && !response.contains("connection: close"), "{response}");
        assert!(response.ends_with(r#"{"error":"This API is restricted, expecting header 'key'"}"#), "{response}");
    }
    let allowed = post("m", BODY).replace("host: x", "host: x\r\nKEY: inference");
    stream.write_all(allowed.as_bytes()).await.unwrap();
    assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn cleartext_http2_is_served_on_the_same_port() {
    let running = start(frontend(vec![double("m", Behaviour::Echo)])).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let mut frame_head = [0_u8; 9];
    within(stream.read_exact(&mut frame_head)).await.unwrap();
    assert_eq!(frame_head[3], 4, "the first frame of a server is SETTINGS");
}
