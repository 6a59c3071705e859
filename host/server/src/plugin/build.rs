//! `nereid plugin build`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use nereid_workshop::Homes;

use crate::{error::ServerError, runtime_folders};

/// What is compiled.
#[derive(Args, Clone, Debug)]
pub(super) struct BuildArguments {
    /// The plugin's folder, whose files tell the language
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,

    /// Where the component goes; '1/model.wasm' in the folder unless given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Compiles it; what the compiler says is passed on.
pub(super) fn run(arguments: &BuildArguments) -> Result<ExitCode, ServerError> {
    let homes = Homes::find(runtime_folders::data_directory());
    let built = nereid_workshop::build(&arguments.folder, arguments.output.as_deref(), &homes)?;
    println!("built {} ({})", built.file.display(), nereid_workshop::bytes(built.bytes));
    Ok(ExitCode::SUCCESS)
}
