//! `nereid plugin new`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use nereid_workshop::{Language, World};

use crate::error::ServerError;

/// What is begun.
#[derive(Args, Clone, Debug)]
pub(super) struct NewArguments {
    /// The folder to write; its last part is the name of the model
    #[arg(value_name = "NAME")]
    folder: PathBuf,

    /// The language: rust, python, javascript, c or go
    #[arg(long = "lang", value_name = "LANGUAGE")]
    language: Language,

    /// What the plugin is: 'transform', a function for each request, or 'model', which gets whole batches; in rust also 'async', which
    /// awaits several models at once, 'agent', asked when models are loaded, or 'batching', which says which requests share a batch
    #[arg(long, value_name = "WORLD", default_value = "transform")]
    world: World,
}

/// Writes the folder and says what comes next.
pub(super) fn run(arguments: &NewArguments) -> Result<ExitCode, ServerError> {
    let folder = nereid_workshop::new(arguments.language, arguments.world, &arguments.folder)?;
    println!("{} is begun; what comes next:", folder.display());
    let next = match arguments.world {
        World::Transform | World::Model | World::FullModel | World::AsyncModel => {
            "nereid plugin test\n  nereid serve --model-repository=.."
        }
        World::Agent => "nereid serve --model-repository=MODELS --repoagent-directory=..",
        World::Batching => "nereid serve --model-repository=..",
    };
    println!("  cd {}\n  nereid plugin build\n  {next}", folder.display());
    Ok(ExitCode::SUCCESS)
}
