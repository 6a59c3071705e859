//! The connection loop: accepts, encrypts where asked to, serves HTTP/1.1 and HTTP/2 on one port, and ends gracefully.
//!
//! Limits that are on by default: connections at one time, time for a request head, idle and total time of a body. A
//! panic while a request is answered is logged and answered with 500; the connection and its neighbours go on.
//!
//! How a disconnect cancels: hyper reads the end of the connection while the response is awaited, drops the connection's
//! future and with it the request's, which drops the response stream; the executing side then sees the cancellation.

use std::{
    convert::Infallible,
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body as AxumBody};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::Either;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use nereid_access::{Category, Connection, OnAccount, Tls};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower_service::Service;

use crate::{
    FrameBody, HttpFrontend, access::deny, error::error_response, infer::infer, model_path::ModelPath,
    routes::shared_router,
};

/// Pause after a failed accept, which mostly means that descriptors ran out: without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the server sends: our own frames, or what the router made.
type ServerBody = Either<FrameBody, AxumBody>;

/// What every connection shares.
struct Server {
    frontend: Arc<HttpFrontend>,
    router: Router,
    connections: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
}

/// Serves until `shutdown` resolves, then stops to accept and returns when the requests under way are answered.
///
/// How long that may take is the caller's to decide: dropping the future leaves the rest to the process's end.
///
/// # Errors
/// None so far; a failed accept is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    frontend: HttpFrontend,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(frontend.settings.limits.connections_max.min(Semaphore::MAX_PERMITS)));
    let server = Server::new(frontend);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => server.spawn_connection(stream, permit),
            Err(error) => {
                tracing::warn!("cannot accept an HTTP connection, trying again: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    server.graceful.shutdown().await;
    Ok(())
}

/// Waits for room first, so that connections beyond the limit stay in the listen queue.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

/// The handshake, in a task of its own connection; it has a time limit, so that it does not keep the server from ending.
async fn encrypt(tls: Option<Tls>, stream: TcpStream) -> io::Result<Connection> {
    match tls {
        Some(tls) => tls.accept(stream).await,
        None => Ok(Connection::Plain(stream)),
    }
}

/// Answers one request: inference at once, everything else through the router.
async fn respond(frontend: &HttpFrontend, router: &Router, mut request: Request<Incoming>) -> Response<ServerBody> {
    let path = request.uri().path().to_owned();
    let answer = async {
        match ModelPath::of_infer(request.method(), &path) {
            Some(model_path) => match frontend.settings.policy.check(Some(Category::Inference), request.headers()) {
                Ok(tenant) => {
                    OnAccount::note(tenant, request.extensions_mut());
                    infer(frontend, &model_path, request).await.map(Either::Left)
                }
                Err(denial) => deny(frontend, &denial, request).await.map(Either::Left),
            },
            None => match router.clone().call(request).await {
                Ok(response) => response.map(Either::Right),
                Err(never) => match never {},
            },
        }
    };
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a panic while '{path}' was answered; the request gets status 500");
            error_response(StatusCode::INTERNAL_SERVER_ERROR, "the server panicked while it answered this request")
                .map(Either::Left)
        }
    }
}

// === impl Server ===

impl Server {
    fn new(frontend: HttpFrontend) -> Self {
        let frontend = Arc::new(frontend);
        let mut connections = auto::Builder::new(TokioExecutor::new());
        connections
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(frontend.settings.limits.head_read_max)
            .keep_alive(true)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(u32::try_from(frontend.settings.limits.connection_streams_max).unwrap_or(u32::MAX))
            .keep_alive_interval(frontend.settings.limits.head_read_max);
        let router = shared_router(frontend.clone());
        Self { frontend, router, connections, graceful: GracefulShutdown::new() }
    }

    fn spawn_connection(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        let frontend = self.frontend.clone();
        let router = self.router.clone();
        let head_read_max = frontend.settings.limits.head_read_max;
        let tls = frontend.settings.tls.clone();
        let has_request = Arc::new(AtomicBool::new(false));
        let seen = has_request.clone();
        let service = service_fn(move |request| {
            seen.store(true, Ordering::Relaxed);
            let (frontend, router) = (frontend.clone(), router.clone());
            async move { Ok::<_, Infallible>(respond(&frontend, &router, request).await) }
        });
        let (connections, watcher) = (self.connections.clone(), self.graceful.watcher());
        tokio::spawn(async move {
            let _permit = permit;
            let stream = match encrypt(tls, stream).await {
                Ok(stream) => stream,
                Err(error) => return tracing::debug!("no TLS connection with an HTTP client: {error}"),
            };
            let connection = connections.serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(watcher.watch(connection));
            // The timers of the protocols start once it is known which one is spoken. A client that says too little to
            // tell is given the same time here.
            let outcome = match tokio::time::timeout(head_read_max, connection.as_mut()).await {
                Ok(outcome) => outcome,
                Err(_) if !has_request.load(Ordering::Relaxed) => return,
                Err(_) => connection.await,
            };
            if let Err(error) = outcome {
                tracing::debug!("an HTTP connection ended early: {error}");
            }
        });
    }
}
