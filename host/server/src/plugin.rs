//! `nereid plugin`: the commands of those who write plugins and bring them to a server.
//!
//! A command is a file in `plugin/`, with its flags and what it does, and an arm of [`PluginCommand`] here.

mod bench;
mod build;
mod history;
mod inspect;
mod new;
mod push;
mod remote;
mod rollback;
mod setup;
mod test;
mod trial;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::{
    bench::BenchArguments, build::BuildArguments, history::HistoryArguments, inspect::InspectArguments,
    new::NewArguments, push::PushArguments, rollback::RollbackArguments, setup::SetupArguments, test::TestArguments,
};
use crate::error::ServerError;

pub(crate) const EXAMPLES: &str = "\
Examples:
  nereid plugin new --lang python models/double
  nereid plugin build models/double
  nereid plugin test models/double
  nereid plugin push double models/double
  nereid plugin inspect models/double/1/model.wasm";

/// Which of them.
#[derive(Args, Clone, Debug)]
pub struct PluginArguments {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum PluginCommand {
    /// Begin a plugin: write a folder that builds and whose test passes
    #[command(args_override_self = true)]
    New(NewArguments),
    /// Compile a plugin into the folder that it is served from
    #[command(args_override_self = true)]
    Build(BuildArguments),
    /// Fetch the compiler for plugins in a language
    #[command(args_override_self = true)]
    Setup(SetupArguments),
    /// Let a plugin answer the requests of its cases, without a server; exit code 1 when one is not answered as expected
    #[command(args_override_self = true)]
    Test(TestArguments),
    /// Measure how long a plugin takes to start and to answer, without a server
    #[command(args_override_self = true)]
    Bench(BenchArguments),
    /// Bring a new build to a server that runs: it is checked, compiled and tried, then takes the old one's place
    #[command(args_override_self = true)]
    Push(PushArguments),
    /// Serve the build before the one that is served now
    #[command(args_override_self = true)]
    Rollback(RollbackArguments),
    /// Show which builds of a model a server loaded: when, for whom, and what became of each
    #[command(args_override_self = true)]
    History(HistoryArguments),
    /// Show what a plugin imports, exports and needs, and where it does not fit; exit code 1 when it does not
    #[command(args_override_self = true)]
    Inspect(InspectArguments),
}

// === impl PluginArguments ===

impl PluginArguments {
    /// Does what was asked for.
    pub(crate) fn run(&self) -> Result<ExitCode, ServerError> {
        match &self.command {
            PluginCommand::New(arguments) => new::run(arguments),
            PluginCommand::Build(arguments) => build::run(arguments),
            PluginCommand::Setup(arguments) => setup::run(arguments),
            PluginCommand::Test(arguments) => test::run(arguments),
            PluginCommand::Bench(arguments) => bench::run(arguments),
            PluginCommand::Push(arguments) => push::run(arguments),
            PluginCommand::Rollback(arguments) => rollback::run(arguments),
            PluginCommand::History(arguments) => history::run(arguments),
            PluginCommand::Inspect(arguments) => inspect::run(arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::arguments::parse;

    fn check_refused(command_line: &str, expected: &str) {
        let words = std::iter::once("nereid").chain(command_line.split_whitespace()).map(Into::into);
        match parse(words) {
            Err(error) => assert_eq!(error.to_string(), expected),
            Ok(other) => panic!("{command_line}: understood as {other:?}"),
        }
    }

    #[test]
    fn a_command_for_plugin_authors_is_explained_by_its_own_help() {
        check_refused(
            "plugin inspec a",
            "unknown command 'inspec' (did you mean 'inspect'?); 'nereid plugin --help' lists the commands",
        );
        check_refused("plugin inspect", "<FILE> is missing; 'nereid plugin inspect --help' shows how to call it");
        check_refused(
            "plugin inspect a --jsn",
            "unknown flag '--jsn' (did you mean '--json'?); 'nereid plugin inspect --help' lists the flags",
        );
        check_refused("plugin inspect a b", "'b' is one argument too many");
    }
}
