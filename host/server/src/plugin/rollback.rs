//! `nereid plugin rollback`.

use std::process::ExitCode;

use clap::Args;

use super::{
    push::announce_served,
    remote::{RemoteArguments, wait},
};
use crate::error::ServerError;

/// Which model.
#[derive(Args, Clone, Debug)]
pub(super) struct RollbackArguments {
    /// Name of the model
    #[arg(value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    remote: RemoteArguments,
}

/// Brings the generation before back, and says which one that is.
pub(super) fn run(arguments: &RollbackArguments) -> Result<ExitCode, ServerError> {
    wait(async {
        let repository = arguments.remote.repository().await?;
        repository.roll_back(&arguments.model).await.map_err(ServerError::Client)?;
        announce_served(&repository, &arguments.model).await
    })?;
    Ok(ExitCode::SUCCESS)
}
