//! The access check in front of every route, and how a denial looks over HTTP.
//!
//! The router gets it around each route; the server asks for inference itself before it takes the fast path.

use std::{pin::pin, sync::Arc};

use axum::{
    body::Body as AxumBody,
    extract::State,
    middleware::{Next, from_fn_with_state},
    response::Response as AxumResponse,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use nereid_access::{Category, Denial, OnAccount};

use crate::{
    FrameBody, HttpFrontend, body::BodyLimits, error::error_response, refusal::answer_without, routes::Handlers,
};

const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// The handlers behind the check. A server that denies nothing pays nothing for it.
pub(crate) fn guarded(handlers: Handlers, category: Option<Category>, frontend: &Arc<HttpFrontend>) -> Handlers {
    if frontend.settings.policy.is_open() {
        return handlers;
    }
    handlers.layer(from_fn_with_state((frontend.clone(), category), guard))
}

async fn guard(
    State((frontend, category)): State<(Arc<HttpFrontend>, Option<Category>)>,
    mut request: Request<AxumBody>,
    next: Next,
) -> AxumResponse {
    match frontend.settings.policy.check(category, request.headers()) {
        Ok(tenant) => {
            OnAccount::note(tenant, request.extensions_mut());
            next.run(request).await
        }
        Err(denial) => deny(&frontend, &denial, request).await.map(AxumBody::new),
    }
}

/// Answers a request that may not go on.
///
/// Its body is read and dropped, so that the client sees the answer and can use the connection again; but a stranger
/// gets less time for it than a guest.
pub(crate) async fn deny<B>(frontend: &HttpFrontend, denial: &Denial, request: Request<B>) -> Response<FrameBody>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let version = request.version();
    let body = pin!(request.into_body());
    answer_without((version, body), Some(BodyLimits::of_strangers(&frontend.settings)), denied(denial)).await
}

/// The one place that turns a denial into a status of HTTP.
pub fn denied(denial: &Denial) -> Response<FrameBody> {
    let status = match denial {
        Denial::Restricted { .. } | Denial::KeyLacks { .. } => StatusCode::FORBIDDEN,
        Denial::KeyMissing | Denial::KeyUnknown => StatusCode::UNAUTHORIZED,
    };
    let mut response = error_response(status, &denial.to_string());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, BEARER);
    }
    response
}
