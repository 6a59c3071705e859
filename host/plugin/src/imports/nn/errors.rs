//! `wasi:nn/errors`: a code of the specification's for each kind of failure, and our words.

use nereid_inference::{ErrorKind, InferError};
use wasmtime::component::Resource;

use super::bindings::wasi::nn::errors::{ErrorCode, Host, HostError};
use crate::{failure::Stop, state::PluginState};

/// A failure that the guest was told of.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct NnError(InferError);

type Handle = Resource<NnError>;

// === impl PluginState ===

impl PluginState {
    /// A failure, as a handle. Where none is left to be given, the failure to do so costs the guest.
    pub(super) fn nn_failure(&mut self, error: InferError) -> wasmtime::Result<Handle> {
        self.note_refusal(&error);
        if let Err(refusal) = self.check_handles() {
            self.note_refusal(&refusal);
            return Err(wasmtime::Error::new(refusal));
        }
        Ok(Resource::new_own(self.nn.errors.insert(NnError(error))))
    }

    fn nn_error(&self, handle: &Handle) -> wasmtime::Result<&InferError> {
        let found = self.nn.errors.get(handle.rep());
        found.map(|NnError(error)| error).ok_or_else(|| Stop::StaleHandle("error").into())
    }
}

impl Host for PluginState {}

impl HostError for PluginState {
    fn code(&mut self, handle: Handle) -> wasmtime::Result<ErrorCode> {
        self.enter("nn.error.code")?;
        Ok(code(self.nn_error(&handle)?.kind()))
    }

    fn data(&mut self, handle: Handle) -> wasmtime::Result<String> {
        self.enter("nn.error.data")?;
        Ok(self.nn_error(&handle)?.message().to_owned())
    }

    /// A handle of an earlier call is gone already.
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.nn.errors.remove(handle.rep());
        Ok(())
    }
}

/// The specification has no words for a busy server: what may work later, and what is nobody's fault, is a runtime error.
fn code(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::InvalidArgument => ErrorCode::InvalidArgument,
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Unsupported => ErrorCode::UnsupportedOperation,
        ErrorKind::DeadlineExceeded => ErrorCode::Timeout,
        ErrorKind::Permission => ErrorCode::Security,
        ErrorKind::Unavailable
        | ErrorKind::AlreadyExists
        | ErrorKind::Cancelled
        | ErrorKind::ResourceExhausted
        | ErrorKind::Internal => ErrorCode::RuntimeError,
    }
}
