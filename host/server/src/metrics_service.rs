//! The metrics port: the page at `/metrics`, and an empty 200 anywhere else, as Triton's answers.

use std::{future::Future, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::any,
    serve::Listener,
};
use nereid_access::{Category, Connection, Handshakes, Policy};
use nereid_http::denied;
use nereid_telemetry::Telemetry;
use tokio::net::{TcpListener, TcpStream};

use crate::access::Door;

/// Pause after a failed accept, which mostly means that descriptors ran out: without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that went through the door.
struct Entrance {
    listener: TcpListener,
    handshakes: Handshakes,
}

/// Answers until `shutdown` resolves, then finishes what is under way.
///
/// # Errors
/// The listener fails.
pub(crate) fn serve(
    listener: TcpListener,
    door: &Door,
    telemetry: Arc<Telemetry>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = io::Result<()>> + Send + 'static {
    let mut router = Router::new().route("/metrics", any(page)).fallback(|| async {}).with_state(telemetry);
    if !door.policy.is_open() {
        router = router.layer(from_fn_with_state(door.policy.clone(), guard));
    }
    let entrance = Entrance { listener, handshakes: Handshakes::new(door.tls.clone()) };
    async move { axum::serve(entrance, router).with_graceful_shutdown(shutdown).await }
}

/// The whole port is one part of the server.
async fn guard(State(policy): State<Policy>, request: Request, next: Next) -> Response {
    match policy.check(Some(Category::Metrics), request.headers()) {
        Ok(_tenant) => next.run(request).await,
        Err(denial) => denied(&denial).map(Body::new),
    }
}

async fn page(method: Method, State(telemetry): State<Arc<Telemetry>>) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], telemetry.render()).into_response()
}

// === impl Entrance ===

impl Entrance {
    async fn accept_tcp(listener: &TcpListener) -> TcpStream {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::warn!("cannot accept a metrics connection, trying again: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Listener for Entrance {
    type Io = Connection;
    /// Nobody asks who reads the metrics.
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        loop {
            let has_room = self.handshakes.has_room();
            tokio::select! {
                connection = self.handshakes.next() => return (connection, ()),
                stream = Self::accept_tcp(&self.listener), if has_room => {
                    if let Some(connection) = self.handshakes.begin(stream) {
                        return (connection, ());
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nereid_access::{Restrictions, Surface};
    use nereid_inference::{ModelConfig, ModelIdentity};
    use nereid_telemetry::MetricsSettings;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;

    fn door(restricted: &[&str]) -> Door {
        let groups: Vec<_> = restricted.iter().map(|group| (*group).to_owned()).collect();
        Door { policy: Policy::new(Restrictions::parse(Surface::Http, &groups).unwrap(), None), tls: None }
    }

    /// Sends one request to a service of its own and asserts how the answer starts and what it contains.
    async fn check(request_line: &str, status_line: &str, contained: &[&str]) {
        check_behind(&door(&[]), request_line, status_line, contained).await;
    }

    async fn check_behind(door: &Door, request_line: &str, status_line: &str, contained: &[&str]) {
        let telemetry = Telemetry::new(MetricsSettings::default());
        let _metrics = telemetry.model(&ModelIdentity::new("digits", 1), &ModelConfig::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = tokio::spawn(serve(listener, door, telemetry, async { drop(stopped.await) }));

        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request_line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status_line}\r\n")), "{answer}");
        for text in contained {
            assert!(answer.contains(text), "no {text:?} in {answer}");
        }

        stop.send(()).unwrap();
        service.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_page_is_text_with_every_series() {
        let contained = [
            "content-type: text/plain; charset=utf-8\r\n",
            "\nnv_inference_request_success{model=\"digits\",version=\"1\"} 0\n",
            "\nnv_cpu_memory_total_bytes ",
        ];
        check("GET /metrics", "200 OK", &contained).await;
    }

    #[tokio::test]
    async fn another_path_is_empty() {
        check("GET /", "200 OK", &["content-length: 0\r\n"]).await;
        check("GET /v2/health/live", "200 OK", &["content-length: 0\r\n"]).await;
    }

    #[tokio::test]
    async fn the_page_can_only_be_read() {
        check("POST /metrics", "405 Method Not Allowed", &[]).await;
    }

    #[tokio::test]
    async fn a_restricted_port_answers_nobody_without_the_secret() {
        let restricted = door(&["metrics:k=v"]);
        let refusal = r#"{"error":"This API is restricted, expecting header 'k'"}"#;
        for line in ["GET /metrics", "POST /metrics", "GET /", "GET /v2/health/live"] {
            check_behind(&restricted, line, "403 Forbidden", &[refusal]).await;
        }
        check_behind(&restricted, "GET /metrics HTTP/1.1\r\nk: v\r\nx:", "200 OK", &["nv_cpu_memory_total"]).await;
        check_behind(&door(&["health:k=v"]), "GET /metrics", "200 OK", &[]).await;
    }
}
