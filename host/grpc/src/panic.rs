//! A panic answers the request that met it and nothing else.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::CatchUnwind, future::Map};
use nereid_inference::InferError;
use tonic::body::Body;
use tower_service::Service;

use crate::error::status;

type Caught<T> = Result<T, Box<dyn Any + Send>>;

/// Wraps a service so that its panics become `INTERNAL`.
#[derive(Clone, Debug)]
pub(crate) struct CatchPanic<S>(pub(crate) S);

/// Calls `work`; a panic in it is an internal error.
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T, InferError>) -> Result<T, InferError> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// What the client is told; the panic's own text is for the log.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> InferError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!("a gRPC request met a panic: {text}");
    InferError::internal("the server met an internal fault (a panic) while it handled this request; its log names it")
}

// === impl CatchPanic ===

impl<S, B> Service<http::Request<B>> for CatchPanic<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Map<
        CatchUnwind<AssertUnwindSafe<S::Future>>,
        fn(Caught<Result<S::Response, S::Error>>) -> Result<S::Response, S::Error>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        AssertUnwindSafe(self.0.call(request)).catch_unwind().map(|caught| match caught {
            Ok(answer) => answer,
            Err(panic) => Ok(status(&panicked(&*panic)).into_http()),
        })
    }
}
