//! What goes wrong before a plugin can be tried, each in words for its author.

use std::{io, path::PathBuf};

use nereid_client::ClientError;
use nereid_inference::InferError;

/// Any of it.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no plugin's folder: expected config.pbtxt in it, and model.wasm in its folder '1'", folder.display())]
    NoModel { folder: PathBuf },
    #[error(
        "{} has no {}: 'nereid plugin build {}' makes it", folder.display(), file.display(), folder.display()
    )]
    NotBuilt { folder: PathBuf, file: PathBuf },
    #[error("model '{model}' cannot be loaded: {reason}")]
    Load { model: String, reason: String },
    #[error("{}: {problem}", path.display())]
    Case { path: PathBuf, problem: String },
    #[error(
        "there are no cases: put one into {}, a JSON file with a request and its response, or give an input with -i",
        folder.display()
    )]
    NoCases { folder: PathBuf },
    #[error("the plugin failed in case '{case}', so that there is nothing to measure: {problem}")]
    Measure { case: String, problem: String },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Infer(#[from] InferError),
}
