//! `nereid infer`: one request to a running server, and its answer on standard output.

use std::io;

use tokio::runtime;

use crate::{arguments::InferArguments, error::ServerError};

/// Makes the call that the command line asks for.
pub(crate) fn infer(arguments: &InferArguments) -> Result<(), ServerError> {
    let call = arguments.call().map_err(ServerError::Client)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(ServerError::Runtime)?;
    let outcome = runtime.block_on(nereid_client::run(&call, &mut io::stdout()));
    outcome.map_err(ServerError::Client)
}
