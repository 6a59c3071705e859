//! What a traced request tells of its way in and out. Nothing is done, and no clock read, for one that is not traced.
//!
//! tonic shows no moment before a message is decoded, hence a call's two `GRPC_WAITREAD` moments are the same.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_util::{TryFutureExt, future::MapOk};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use nereid_inference::{Activity, ModelIdentity, RequestTrace};
use tonic::{Status, body::Body};
use tower_service::Service;

use crate::frontend::Running;

/// The trace of a request, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrpcTrace(Option<Arc<dyn RequestTrace>>);

/// A response on its way out; sent when the last clone of this is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Sending(#[allow(dead_code, reason = "held for its drop")] Arc<SendEnd>);

#[derive(Debug)]
struct SendEnd(Arc<dyn RequestTrace>);

/// Keeps what a response carries as [`Sending`] until its body is sent.
#[derive(Clone, Debug)]
pub(crate) struct TraceSending<S>(pub(crate) S);

struct TracedBody {
    body: Body,
    _sending: Sending,
}

// === impl GrpcTrace ===

impl GrpcTrace {
    /// Asks whether a request is to be traced; it has just been read.
    pub(crate) fn start(running: &Running, model: &ModelIdentity, headers: &HeaderMap, received: Instant) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let trace = running.diagnostics.start_trace(model, &header);
        if let Some(trace) = &trace {
            trace.event(Activity::GrpcWaitReadStart, received);
            trace.event(Activity::GrpcWaitReadEnd, received);
        }
        Self(trace)
    }

    /// For the request to the model.
    pub(crate) fn handle(&self) -> Option<Arc<dyn RequestTrace>> {
        self.0.clone()
    }

    /// The model has given a response.
    pub(crate) fn response_complete(&self) {
        if let Some(trace) = &self.0 {
            trace.event(Activity::InferResponseComplete, Instant::now());
        }
    }

    /// A response begins to be sent.
    pub(crate) fn sending(&self) -> Option<Sending> {
        let trace = self.0.clone()?;
        trace.event(Activity::GrpcSendStart, Instant::now());
        Some(Sending(Arc::new(SendEnd(trace))))
    }
}

// === impl SendEnd ===

impl Drop for SendEnd {
    fn drop(&mut self) {
        self.0.event(Activity::GrpcSendEnd, Instant::now());
    }
}

// === impl TraceSending ===

impl<S, B> Service<http::Request<B>> for TraceSending<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(S::Response) -> S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.0.call(request).map_ok(|mut response| match response.extensions_mut().remove::<Sending>() {
            Some(sending) => response.map(|body| Body::new(TracedBody { body, _sending: sending })),
            None => response,
        })
    }
}

// === impl TracedBody ===

impl HttpBody for TracedBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
