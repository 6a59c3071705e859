//! `nereid plugin setup`.

use std::process::ExitCode;

use clap::Args;
use nereid_workshop::{Homes, Language};

use crate::{error::ServerError, runtime_folders};

/// What is fetched.
#[derive(Args, Clone, Debug)]
pub(super) struct SetupArguments {
    /// The language: rust, python, javascript, c or go
    #[arg(value_name = "LANGUAGE")]
    language: Language,
}

/// Fetches the compiler unless it is there, and says where to.
pub(super) fn run(arguments: &SetupArguments) -> Result<ExitCode, ServerError> {
    Homes::find(runtime_folders::data_directory()).set_up(arguments.language)?;
    Ok(ExitCode::SUCCESS)
}
