//! `nereid plugin bench`.

use std::{
    io::{self, Write as _},
    num::NonZeroUsize,
    process::ExitCode,
};

use clap::Args;
use nereid_rehearsal::{RehearsalError, Stage, measure};
use tokio::runtime::Runtime;

use super::trial::TrialArguments;
use crate::error::ServerError;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub(super) struct BenchArguments {
    #[command(flatten)]
    trial: TrialArguments,

    /// Calls that are measured, one after the other
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    calls: NonZeroUsize,
}

/// Prints the figures of the first case.
pub(super) fn run(arguments: &BenchArguments) -> Result<ExitCode, ServerError> {
    let runtime = Runtime::new().map_err(ServerError::Runtime)?;
    let trial = &arguments.trial;
    let policy = trial.policy()?;
    let first_case = |stage: &Stage| {
        let first = trial.cases(stage)?.into_iter().next();
        first.ok_or_else(|| RehearsalError::NoCases { folder: trial.folder.clone() })
    };
    let measurement = runtime.block_on(measure(&trial.folder, &policy, (&first_case, arguments.calls)))?;
    let _ = io::stdout().write_all(measurement.to_string().as_bytes());
    Ok(ExitCode::SUCCESS)
}
