//! The metrics port: the page at `/metrics`, and an empty 200 anywhere else, as Triton's answers.

use std::{future::Future, io, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use nereid_telemetry::Telemetry;
use tokio::net::TcpListener;

/// Answers until `shutdown` resolves, then finishes what is under way.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    telemetry: Arc<Telemetry>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new().route("/metrics", any(page)).fallback(|| async {}).with_state(telemetry);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn page(method: Method, State(telemetry): State<Arc<Telemetry>>) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], telemetry.render()).into_response()
}

#[cfg(test)]
mod tests {
    use nereid_inference::{ModelConfig, ModelIdentity};
    use nereid_telemetry::MetricsSettings;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;

    /// Sends one request to a service of its own and asserts how the answer starts and what it contains.
    async fn check(request_line: &str, status_line: &str, contained: &[&str]) {
        let telemetry = Telemetry::new(MetricsSettings::default());
        let _metrics = telemetry.model(&ModelIdentity::new("digits", 1), &ModelConfig::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = tokio::spawn(serve(listener, telemetry, async { drop(stopped.await) }));

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
}
