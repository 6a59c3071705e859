//! `nereid plugin inspect`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{error::ServerError, runtime_folders};

/// What is looked at.
#[derive(Args, Clone, Debug)]
pub(super) struct InspectArguments {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print one document of JSON
    #[arg(long)]
    json: bool,
}

/// Prints the report; exit code 1 when the component does not fit.
pub(super) fn run(arguments: &InspectArguments) -> Result<ExitCode, ServerError> {
    let cache_directory = runtime_folders::plugin_cache_directory();
    let report = nereid_workshop::inspect(&arguments.file, cache_directory.as_deref())?;
    let text = if arguments.json { format!("{:#}\n", report.to_json()) } else { report.to_string() };
    // A reader that closes the pipe early, `head` for example, has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if report.fits() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
