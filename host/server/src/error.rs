//! Why the server does not start or did not end well; each is one line for the person who started it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use nereid_access::{KeyFileError, NewKeyError, TlsError};
use nereid_cache::RedisStartError;
use nereid_inference::InferError;
use nereid_rehearsal::RehearsalError;
use nereid_telemetry::{LogError, TraceError};
use nereid_workshop::WorkshopError;

use crate::{arguments::ArgumentError, sockets::Service};

/// Any of it; the exit code is 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    NewKey(#[from] NewKeyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Cache(#[from] RedisStartError),
    #[error("model repository '{}' {problem}", path.display())]
    Repository { path: PathBuf, problem: String },
    #[error("failed to start {} service: Unavailable - Socket '{address}' already in use", service.name())]
    PortBusy { service: Service, address: String },
    #[error("failed to start {} service: Unavailable - Socket '{address}' cannot be opened: {source}", service.name())]
    Socket { service: Service, address: String, source: io::Error },
    #[error(
        "the {} and the {} service cannot both listen at {address}; change {} or {}",
        first.name(), second.name(), first.port_flag(), second.port_flag()
    )]
    PortCollision { first: Service, second: Service, address: SocketAddr },
    #[error("the server configuration '{}' {problem}", path.display())]
    OperatorFile { path: PathBuf, problem: String },
    #[error("--backend-config={setting}: {problem}")]
    BackendSetting { setting: String, problem: String },
    #[error("creating server: {} - {error}", error.kind().title())]
    Creating {
        #[from]
        error: InferError,
    },
    #[error(transparent)]
    Client(nereid_client::ClientError),
    #[error(transparent)]
    Workshop(#[from] WorkshopError),
    #[error("{} cannot be read: {source}", path.display())]
    Push { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Rehearsal(#[from] RehearsalError),
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
    #[error("{} service ended by itself: {problem}", service.name())]
    ServiceEnded { service: Service, problem: String },
    #[error("a service ended by itself: {problem}")]
    ServiceFailed { problem: String },
    #[error("stopped by {signal} before the models were loaded")]
    StoppedWhileLoading { signal: &'static str },
    #[error("stopped by a second {signal} with requests under way")]
    StoppedTwice { signal: &'static str },
    #[error("Exit timeout expired. Exiting immediately.")]
    ExitTimeout,
}

// === impl ServerError ===

impl ServerError {
    /// A directory of models that cannot be listed.
    pub(crate) fn repository(path: &Path, error: &io::Error) -> Self {
        Self::Repository { path: path.to_owned(), problem: format!("cannot be read: {error}") }
    }
}
