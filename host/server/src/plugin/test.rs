//! `nereid plugin test`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use nereid_client::{Destination, Endpoint, RemoteModels};
use nereid_rehearsal::{RehearsalError, Stage, StageSettings};
use tokio::{runtime::Runtime, task::block_in_place};

use super::trial::{TrialArguments, show_log};
use crate::{error::ServerError, runtime_folders};

/// How long a server may take to let itself be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is tried.
#[derive(Args, Clone, Debug)]
pub(super) struct TestArguments {
    #[command(flatten)]
    trial: TrialArguments,

    /// A server whose models the plugin may call where a case does not give their answers: http://HOST:PORT or
    /// grpc://HOST:PORT
    #[arg(long, value_name = "URL")]
    server: Option<Endpoint>,
}

/// Plays every case and prints how each went; exit code 1 when one failed.
pub(super) fn run(arguments: &TestArguments) -> Result<ExitCode, ServerError> {
    show_log()?;
    let runtime = Runtime::new().map_err(ServerError::Runtime)?;
    let failed = runtime.block_on(play(arguments))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many failed.
async fn play(arguments: &TestArguments) -> Result<usize, ServerError> {
    let server = match &arguments.server {
        Some(endpoint) => Some(
            RemoteModels::open(&Destination::open(endpoint.clone()), CONNECT_TIMEOUT)
                .await
                .map_err(RehearsalError::from)?,
        ),
        None => None,
    };
    let trial = &arguments.trial;
    let settings =
        StageSettings { cache_directory: runtime_folders::plugin_cache_directory(), policy: trial.policy()?, server };
    let runtime = tokio::runtime::Handle::current();
    let mut stage = block_in_place(|| Stage::open(&trial.folder, settings, &runtime))?;
    let cases = trial.cases(&stage)?;
    let mut failed = 0;
    for case in &cases {
        let verdict = nereid_rehearsal::run(&mut stage, case).await;
        failed += usize::from(!verdict.is_pass());
        // A reader that closes the pipe early, `head` for example, has read enough.
        let _ = io::stdout().write_all(verdict.to_string().as_bytes());
    }
    let _ = writeln!(io::stdout(), "\n{} passed, {failed} failed", cases.len() - failed);
    block_in_place(|| drop(stage));
    Ok(failed)
}
