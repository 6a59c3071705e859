//! The deadline that a client sends along: `grpc-timeout`.
//!
//! Promises: an RPC that has not begun to answer by then is answered `DEADLINE_EXCEEDED` and what it waits for is
//! cancelled. A stream begins to answer at once; its end is the client's to watch. A value that cannot be read is no
//! deadline. Costs nothing without one.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{Either, Map},
};
use tokio::time::{Timeout, error::Elapsed};
use tonic::{Code, Status, body::Body};
use tower_service::Service;

const TIMEOUT_HEADER: &str = "grpc-timeout";

/// Digits of the header's number, by the protocol.
const DIGITS_MAX: usize = 8;

/// Wraps a service so that its answers come in time or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Deadline<S>(pub(crate) S);

type InTime<T, E> = Result<Result<T, E>, Elapsed>;

/// `20S` and the like.
fn parse_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    let is_number = (1..=DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3_600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

// === impl Deadline ===

impl<S, B> Service<http::Request<B>> for Deadline<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future =
        Either<S::Future, Map<Timeout<S::Future>, fn(InTime<S::Response, S::Error>) -> Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let timeout = request.headers().get(TIMEOUT_HEADER).and_then(|value| parse_timeout(value.as_bytes()));
        let answer = self.0.call(request);
        let Some(timeout) = timeout else { return Either::Left(answer) };
        Either::Right(tokio::time::timeout(timeout, answer).map(|in_time| match in_time {
            Ok(answer) => answer,
            Err(_) => Ok(Status::new(Code::DeadlineExceeded, "Deadline Exceeded").into_http()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Calls a service that never answers with this `grpc-timeout`.
    async fn call(timeout: &str) -> http::Response<Body> {
        let never = tower::service_fn(|_: http::Request<()>| std::future::pending::<Result<_, Infallible>>());
        let request = http::Request::builder().header(TIMEOUT_HEADER, timeout).body(()).unwrap();
        Deadline(never).call(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_passed_deadline_says_so() {
        let status = Status::from_header_map(call("1m").await.headers()).unwrap();
        assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "Deadline Exceeded"));
    }

    #[tokio::test]
    async fn a_timeout_that_cannot_be_read_is_none() {
        let waited = tokio::time::timeout(Duration::from_millis(20), call("1x")).await;
        assert!(waited.is_err());
    }

    #[test]
    fn a_timeout_is_a_number_with_a_unit() {
        assert_eq!(parse_timeout(b"2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(parse_timeout(b"3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse_timeout(b"99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parse_timeout(b"250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout(b"7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse_timeout(b"0n"), Some(Duration::ZERO));
    }

    #[test]
    fn anything_else_is_no_timeout() {
        for text in ["", "S", "5", "5d", "-5S", "+5S", "123456789S", "5.0S", "5 S"] {
            assert_eq!(parse_timeout(text.as_bytes()), None, "{text}");
        }
    }
}
