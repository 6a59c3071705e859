//! The one place where an error becomes a gRPC status.

use nereid_inference::{ErrorKind, InferError};
use tonic::{Code, Status};

/// The status that a failed RPC ends with.
pub(crate) fn status(error: &InferError) -> Status {
    Status::new(code(error.kind()), error.message())
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
    use super::*;

    #[test]
    fn a_status_carries_the_kind_and_the_text() {
        let status = status(&InferError::unsupported("no such extension"));
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, "no such extension"));
    }
}
