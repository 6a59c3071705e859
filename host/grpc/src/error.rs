//! The one place where an error becomes a gRPC status.

use nereid_inference::{ErrorKind, InferError};
use tonic::{Code, Status};

/// How a server tells gRPC's own retries when to come again (proposal A6): whoever has a retry policy obeys without knowing us.
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status that a failed RPC ends with.
pub(crate) fn status(error: &InferError) -> Status {
    let mut status = Status::new(code(error.kind()), error.message());
    if let Some(wait) = error.retry_wait() {
        let milliseconds = i32::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        status.metadata_mut().insert(RETRY_PUSHBACK, milliseconds.into());
    }
    status
}

/// The word of the log for how a request ended.
pub(crate) fn outcome<T>(result: &Result<T, InferError>) -> String {
    let code = result.as_ref().map_or_else(|error| code(error.kind()), |_| Code::Ok);
    format!("{code:?}")
}

/// Triton's codes for the kinds that it has; the standard's for the others.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Permission => Code::PermissionDenied,
        ErrorKind::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_status_carries_the_kind_and_the_text() {
        let status = status(&InferError::unsupported("no such extension"));
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, "no such extension"));
        assert!(status.metadata().is_empty());
    }

    #[test]
    fn a_status_says_when_to_come_again_in_whole_milliseconds() {
        let status = status(&InferError::unavailable("not now").retry_after(Duration::from_micros(1_500)));
        assert_eq!(status.metadata().get(RETRY_PUSHBACK).unwrap(), "2");
    }
}
