//! Work that may take long: done where it arises when it is small, on a thread that may block when it is not.
//!
//! A runtime worker serves thousands of connections; reading a JSON of 64 MiB takes it half a second, during which none of
//! them would be looked at.

use nereid_inference::InferError;

/// Does `work`, here if `is_small`.
///
/// # Errors
/// Those of the work, and `Internal` when the server ends before it has begun.
pub(crate) async fn run<T: Send + 'static>(
    is_small: bool,
    work: impl FnOnce() -> Result<T, InferError> + Send + 'static,
) -> Result<T, InferError> {
    if is_small {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        // The connection loop answers panics, wherever they happen.
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(_) => Err(InferError::unavailable("Server exiting")),
    }
}
