//! The end of a request that was not served: an answer, and what becomes of the connection.
//!
//! A refusal comes after the rest of the body was read. Where that is not possible, it tells the client that the
//! connection ends, which otherwise would find out with its next request.

use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderValue, Response, Version, header};
use http_body::Body;

use crate::{
    FrameBody,
    body::{BodyLimits, drain},
    error::Refusal,
};

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Refuses a request whose body may have been read in part.
pub(crate) async fn refuse<B>(refusal: Refusal, rest: (Version, Pin<&mut B>), limits: BodyLimits) -> Response<FrameBody>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let limits = (!refusal.ends_the_connection()).then_some(limits);
    answer_without(rest, limits, refusal.into()).await
}

/// Gives `response` to a request of this version whose body nobody wants; without limits it is not read either.
pub(crate) async fn answer_without<B>(
    (version, body): (Version, Pin<&mut B>),
    limits: Option<BodyLimits>,
    mut response: Response<FrameBody>,
) -> Response<FrameBody>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let is_read = body.is_end_stream()
        || match limits {
            Some(limits) => drain(body, limits).await,
            None => false,
        };
    // HTTP/2 has no such header: there a stream ends without its connection.
    if !is_read && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    response
}
