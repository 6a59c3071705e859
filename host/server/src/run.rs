//! One command from its words to its exit code.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

use nereid_access::{Categories, NewKey};
use nereid_backend_python::{LAUNCH_VERB, launch};

use crate::{
    arguments::{self, ApiKeyArguments, ApiKeyCommand, Command},
    check::check,
    error::ServerError,
    infer::infer,
    serve::serve,
};

/// Does what the command line says; the first argument is the program's own name.
///
/// What goes wrong is one line on standard error, and exit code 1.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // A step of the server's own on the way to a Python process, and nobody's command.
    if let [_, verb, specification] = arguments.as_slice()
        && verb == LAUNCH_VERB
    {
        return ExitCode::from(launch(&specification.to_string_lossy()));
    }
    match dispatch(arguments) {
        Ok(exit_code) => exit_code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode, ServerError> {
    match arguments::parse(arguments)? {
        Command::Serve(arguments) => serve(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Check(arguments) => check(&arguments),
        Command::ApiKey(ApiKeyArguments { command: ApiKeyCommand::New { name, categories } }) => {
            new_key(&name, categories)
        }
        Command::Infer(arguments) => infer(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Plugin(arguments) => arguments.run(),
        Command::Print(text) => {
            // A reader that closes the pipe early, `head` for example, has read enough.
            let _ = io::stdout().write_all(text.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The entry and the key part ways here, so that `>> FILE` appends the one and shows the other.
fn new_key(name: &str, categories: Categories) -> Result<ExitCode, ServerError> {
    let new_key = NewKey::make(name, categories)?;
    let is_written = io::stdout().write_all(new_key.entry().as_bytes()).is_ok();
    eprintln!("key of '{name}', shown this once: {}", new_key.secret());
    Ok(if is_written { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
