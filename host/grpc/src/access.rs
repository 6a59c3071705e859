//! The access check in front of every RPC, and how a denial looks over gRPC.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use nereid_access::{Denial, OnAccount, Policy};
use tonic::{Code, Status, body::Body};
use tower_service::Service;

use crate::rpcs::category;

/// Wraps all services, so that only what the policy lets through reaches one.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    inner: S,
    policy: Policy,
}

/// The one place that turns a denial into a status of gRPC.
fn denied(denial: &Denial) -> Status {
    let code = match denial {
        // Triton's; clients expect it.
        Denial::Restricted { .. } => Code::Unavailable,
        Denial::KeyMissing | Denial::KeyUnknown => Code::Unauthenticated,
        Denial::KeyLacks { .. } => Code::PermissionDenied,
    };
    Status::new(code, denial.to_string())
}

// === impl Guard ===

impl<S> Guard<S> {
    pub(crate) fn new(inner: S, policy: Policy) -> Self {
        Self { inner, policy }
    }
}

impl<S, B> Service<http::Request<B>> for Guard<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        if self.policy.is_open() {
            return Either::Left(self.inner.call(request));
        }
        match self.policy.check(category(request.uri().path()), request.headers()) {
            Ok(tenant) => {
                OnAccount::note(tenant, request.extensions_mut());
                Either::Left(self.inner.call(request))
            }
            Err(denial) => Either::Right(ready(Ok(denied(&denial).into_http()))),
        }
    }
}
