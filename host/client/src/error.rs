//! What goes wrong, each in one line for the person who typed the command.

use std::{io, path::PathBuf, time::Duration};

use crate::endpoint::Endpoint;

/// Any of it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no server answers at {endpoint} ({reason}); start one with 'nereid serve --model-repository=DIR', or name another \
         with --url"
    )]
    Unreachable { endpoint: Endpoint, reason: String },
    #[error("{endpoint} took longer than {timeout:?}; --timeout allows more")]
    Timeout { endpoint: Endpoint, timeout: Duration },
    #[error("the server answered with {status}: {message}")]
    Refused { status: String, message: String },
    #[error("model '{model}' is not served at {endpoint}: {message}; {ready}")]
    UnknownModel { model: String, endpoint: Endpoint, message: String, ready: String },
    #[error("the answer of {endpoint} cannot be understood: {problem}")]
    BadAnswer { endpoint: Endpoint, problem: String },
    #[error("input '{input}': {problem}")]
    Input { input: String, problem: String },
    #[error("input '{input}': {} cannot be read: {source}", path.display())]
    File { input: String, path: PathBuf, source: io::Error },
    #[error("{0}")]
    Arguments(String),
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

// === impl ClientError ===

impl ClientError {
    pub(crate) fn input(input: &str, problem: impl Into<String>) -> Self {
        Self::Input { input: input.to_owned(), problem: problem.into() }
    }
}
