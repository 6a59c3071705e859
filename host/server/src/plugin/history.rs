//! `nereid plugin history`.

use std::process::ExitCode;

use clap::Args;
use nereid_client::Generation;

use super::remote::{RemoteArguments, age, builds, wait};
use crate::{error::ServerError, table::Table};

/// Whose history.
#[derive(Args, Clone, Debug)]
pub(super) struct HistoryArguments {
    /// Name of the model
    #[arg(value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    remote: RemoteArguments,
}

/// Prints the generations that the server remembers.
pub(super) fn run(arguments: &HistoryArguments) -> Result<ExitCode, ServerError> {
    let generations = wait(async {
        let repository = arguments.remote.repository().await?;
        repository.history(&arguments.model).await.map_err(ServerError::Client)
    })?;
    print!("{}", table(&generations));
    Ok(ExitCode::SUCCESS)
}

fn table(generations: &[Generation]) -> Table<5> {
    let mut table = Table::new(["Generation", "Loaded", "By", "Version and BLAKE3", "State"]);
    for generation in generations {
        let state = match generation.reason.as_str() {
            "" => generation.state.clone(),
            reason => format!("{}: {reason}", generation.state),
        };
        table.push([
            generation.number.to_string(),
            age(generation),
            generation.requested_by.clone(),
            builds(generation),
            state,
        ]);
    }
    table
}
