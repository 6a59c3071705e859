//! Failures as answers: the one place that turns an error into a status.

use axum::response::IntoResponse;
use http::{HeaderValue, Response, StatusCode, header};
use nereid_inference::{ErrorKind, InferError};
use nereid_protocol::http::encode_error;

use crate::{FrameBody, compression::CODINGS_SERVED};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why a request was not answered as asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    Error(InferError),
    /// The body is compressed in a way that is not served.
    Encoding,
    /// The body did not arrive in time.
    SlowBody,
    /// The body came in too many pieces.
    TooManyChunks {
        chunks_max: usize,
    },
}

/// The status of an error.
///
/// Triton's table where it has the kind; it answers 400 to what HTTP knows no better word for. Ours beyond it: a limit
/// on one caller is 429, so that clients back off; a missing grant is 403; a deadline is 504 and not Triton's 503,
/// because a 503 tells load balancers to take a healthy server out.
pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::InvalidArgument | ErrorKind::AlreadyExists | ErrorKind::Cancelled => StatusCode::BAD_REQUEST,
        ErrorKind::Permission => StatusCode::FORBIDDEN,
        ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// `{"error": message}` under a status.
pub(crate) fn error_response(status: StatusCode, message: &str) -> Response<FrameBody> {
    let mut response = json_response(encode_error(message));
    *response.status_mut() = status;
    response
}

/// A failure as its status and text, and when to come again where that is known.
pub(crate) fn failure_response(error: &InferError) -> Response<FrameBody> {
    let mut response = error_response(status(error.kind()), error.message());
    if let Some(wait) = error.retry_wait() {
        // Whole seconds, as the header has them: a client that obeys is never too early.
        let seconds = wait.as_millis().div_ceil(1_000).max(1);
        if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    response
}

/// A success with a JSON body.
pub(crate) fn json_response(json: Vec<u8>) -> Response<FrameBody> {
    let mut response = Response::new(json.into());
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A status with an empty body; health checks look at nothing else.
pub(crate) fn empty_response(status: StatusCode) -> Response<FrameBody> {
    let mut response = Response::new(FrameBody::default());
    *response.status_mut() = status;
    response
}

// === impl Refusal ===

impl Refusal {
    /// Whether the rest of the body is not worth waiting for.
    pub(crate) fn ends_the_connection(&self) -> bool {
        matches!(self, Self::SlowBody | Self::TooManyChunks { .. })
    }
}

impl From<InferError> for Refusal {
    fn from(error: InferError) -> Self {
        Self::Error(error)
    }
}

impl From<Refusal> for Response<FrameBody> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Error(error) => failure_response(&error),
            Refusal::SlowBody => {
                error_response(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time; it was given up")
            }
            Refusal::TooManyChunks { chunks_max } => {
                let text = format!(
                    "Chunked request body exceeds maximum of {chunks_max} non-empty chunks. Send fewer or larger HTTP \
                     chunks."
                );
                error_response(StatusCode::BAD_REQUEST, &text)
            }
            Refusal::Encoding => {
                let mut response = error_response(StatusCode::NOT_IMPLEMENTED, "Unsupported compression type");
                response.headers_mut().insert(header::ACCEPT_ENCODING, CODINGS_SERVED);
                response
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> axum::response::Response {
        Response::<FrameBody>::from(self).map(axum::body::Body::new)
    }
}
