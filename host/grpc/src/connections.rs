//! The connection loop: HTTP/2 connections from the first byte to the last.
//!
//! Promises: a bounded number of connections, the next ones waiting; a connection that says nothing is closed; one
//! beyond its age is asked to go and, if there is a grace, ended after it; at the end of the server each finishes what
//! is under way. Why not the loop that tonic brings: with an age and a grace it never asks, it only ends; and it answers
//! a passed deadline with `CANCELLED`.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower_service::Service;

use crate::{
    greeting::Greeted,
    settings::{ConnectionSettings, GrpcSettings},
};

/// A service that answers every RPC.
pub(crate) trait Rpcs:
    Service<
        http::Request<hyper::body::Incoming>,
        Response = http::Response<Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
}

/// What every connection shares.
pub(crate) struct Connections {
    http2: http2::Builder<TokioExecutor>,
    settings: ConnectionSettings,
    greeting_max: Duration,
    permits: Arc<Semaphore>,
    stopping: CancellationToken,
    open: TaskTracker,
    /// Counts connections, to spread their ages.
    accepted: AtomicU32,
}

/// An age within a tenth of `age`, different from one connection to the next, so that they do not all leave at once.
fn spread(age: Duration, index: u32) -> Duration {
    /// The golden ratio in 32 bits: its multiples fall evenly however many there are.
    const STEP: u32 = 0x9E37_79B9;
    let share = f64::from(index.wrapping_mul(STEP)) / f64::from(u32::MAX);
    age.mul_f64(0.9 + 0.2 * share)
}

async fn sleep_or_never(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

// === impl Rpcs ===

impl<S> Rpcs for S where
    S: Service<
            http::Request<hyper::body::Incoming>,
            Response = http::Response<Body>,
            Error = std::convert::Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(settings: &GrpcSettings, stopping: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            http2: http2_builder(settings),
            settings: settings.connections.clone(),
            greeting_max: settings.limits.greeting_max,
            permits: Arc::new(Semaphore::new(settings.limits.connections_max.min(Semaphore::MAX_PERMITS))),
            stopping,
            open: TaskTracker::new(),
            accepted: AtomicU32::new(0),
        })
    }

    /// Serves what comes in until the server stops, and then what is under way.
    pub(crate) async fn serve<I, IO, S>(self: Arc<Self>, incoming: I, service: S)
    where
        S: Rpcs,
        I: Stream<Item = io::Result<IO>>,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        {
            let mut incoming = pin!(incoming);
            loop {
                let next = async {
                    // Room first, so that connections beyond the limit stay in the listen queue.
                    let permit = self.permits.clone().acquire_owned().await.ok()?;
                    Some((incoming.next().await?, permit))
                };
                tokio::select! {
                    () = self.stopping.cancelled() => break,
                    next = next => match next {
                        Some((Ok(io), permit)) => self.spawn((io, permit), service.clone()),
                        Some((Err(error), _)) => tracing::debug!("a gRPC connection was lost before it began: {error}"),
                        None => break,
                    },
                }
            }
            // The listener is closed here: new clients are refused rather than left hanging.
        }
        self.open.close();
        self.open.wait().await;
    }

    fn spawn<IO, S>(self: &Arc<Self>, (io, permit): (IO, OwnedSemaphorePermit), service: S)
    where
        S: Rpcs,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connections = Arc::clone(self);
        let index = self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.spawn(async move {
            let _permit = permit;
            connections.serve_one((io, index), service).await;
        });
    }

    async fn serve_one<IO, S>(&self, (io, index): (IO, u32), service: S)
    where
        S: Rpcs,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let has_spoken = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Greeted::new(io, has_spoken.clone()));
        let mut connection = pin!(self.http2.serve_connection(io, TowerToHyperService::new(service)));
        let age = sleep_or_never(self.settings.age_max.map(|age| spread(age, index)));
        let silence = async {
            tokio::time::sleep(self.greeting_max).await;
            if has_spoken.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let grace = tokio::select! {
            outcome = connection.as_mut() => return note(outcome),
            () = silence => return,
            () = self.stopping.cancelled() => None,
            () = age => self.settings.age_grace,
        };
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            outcome = connection => note(outcome),
            () = sleep_or_never(grace) => tracing::debug!("a gRPC connection was ended: it stayed beyond its age and its grace"),
        }
    }
}

fn note(outcome: hyper::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!("a gRPC connection ended early: {error}");
    }
}

fn http2_builder(settings: &GrpcSettings) -> http2::Builder<TokioExecutor> {
    let GrpcSettings { limits, connections, .. } = settings;
    // The limits' ranges are those of HTTP/2.
    let narrow = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(narrow(limits.connection_streams_max))
        .initial_stream_window_size(narrow(limits.stream_window_bytes))
        .initial_connection_window_size(narrow(limits.connection_window_bytes))
        .max_frame_size(narrow(limits.frame_bytes_max))
        .max_header_list_size(narrow(limits.header_bytes_max))
        .keep_alive_interval(connections.keepalive_interval)
        .keep_alive_timeout(connections.keepalive_timeout);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_spread_over_a_tenth_to_either_side() {
        let ages: Vec<Duration> = (0..100).map(|index| spread(Duration::from_secs(100), index)).collect();
        let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(*least >= Duration::from_secs(90) && *least < Duration::from_secs(92), "{least:?}");
        assert!(*most <= Duration::from_secs(110) && *most > Duration::from_secs(108), "{most:?}");
    }
}
