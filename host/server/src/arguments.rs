//! The command line: which command, and its flags under tritonserver's names.
//!
//! `--flag=value` and `--flag value` mean the same; of a flag given twice the last counts, unless it is a list. What is
//! wrong is said in one line. A flag that tritonserver has and this server does not serve yet is refused by name.

mod access;
mod cache;
mod complaint;
mod destination;
mod gpu;
mod grpc;
mod hints;
mod infer;
mod instances;
mod limits;
mod metrics_config;
mod serve;
mod trace;
mod unserved;
mod values;

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, error::ErrorKind};

use crate::plugin;

pub use self::{
    access::{AccessArguments, ApiKeyArguments, ApiKeyCommand},
    cache::{CacheArguments, CacheChoice, CacheSetting},
    complaint::ArgumentError,
    destination::DestinationArguments,
    gpu::{GpuArguments, OfGpu},
    grpc::{CompressionLevel, GrpcArguments},
    hints::HintArguments,
    infer::InferArguments,
    instances::{HostPolicySetting, InstanceArguments, RateLimit},
    limits::LimitArguments,
    metrics_config::MetricsSetting,
    serve::{BackendArguments, LogArguments, ModelArguments, ServeArguments, ServiceArguments},
    trace::TraceArguments,
    values::{BackendSetting, ControlMode},
};
pub use crate::plugin::PluginArguments;

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    Serve(Box<ServeArguments>),
    Check(CheckArguments),
    ApiKey(ApiKeyArguments),
    Infer(Box<InferArguments>),
    Plugin(Box<PluginArguments>),
    /// Print the text on standard output: help, version or a table.
    Print(String),
}

/// Flags of `nereid check`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CheckArguments {
    /// Model repositories: directories whose sub-directories are models
    #[arg(required = true, value_name = "DIR")]
    pub directories: Vec<PathBuf>,

    /// Take each config.pbtxt as it is written instead of completing it from the model file
    #[arg(long)]
    pub disable_auto_complete_config: bool,

    /// Let models in different repositories have the same name, as 'nereid serve' with this flag does
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
    pub model_namespacing: bool,

    #[command(flatten)]
    pub backends: BackendArguments,
}

const ABOUT: &str =
    "Nereid serves models over the protocol of NVIDIA Triton (KServe v2), with its flags and its model repository.";

const EXAMPLES: &str = "\
Examples:
  nereid serve --model-repository=model_repository
  nereid serve --model-repository=/models --http-port=9000 --allow-grpc=false
  nereid check model_repository
  nereid infer vision_pipeline -i image=@examples/vision/images/demo_7.jpg

'nereid serve --help' lists every flag. Those of tritonserver keep their names.";

#[derive(Parser)]
#[command(name = "nereid", bin_name = "nereid", version, about = ABOUT, after_help = EXAMPLES)]
#[command(args_override_self = true, disable_help_subcommand = true, subcommand_required = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Load a model repository and serve it until SIGINT or SIGTERM
    #[command(args_override_self = true, after_help = serve::EXAMPLES)]
    Serve(Box<ServeArguments>),
    /// Validate a model repository without serving it; exit code 1 when something is wrong
    #[command(args_override_self = true)]
    Check(CheckArguments),
    /// Make keys for --api-key-file
    #[command(args_override_self = true)]
    ApiKey(ApiKeyArguments),
    /// Send one request to a running server and print the answer
    #[command(args_override_self = true, after_help = infer::EXAMPLES)]
    Infer(Box<InferArguments>),
    /// Write plugins, look at them and bring them to a server
    #[command(args_override_self = true, disable_help_subcommand = true, after_help = plugin::EXAMPLES)]
    Plugin(Box<PluginArguments>),
    /// Show every limit with its default; with --limit, as it would be
    #[command(args_override_self = true)]
    Limits(LimitArguments),
}

/// Reads the command line; the first argument is the program's own name.
///
/// # Errors
/// Whatever is wrong with it, in one line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, ArgumentError> {
    match CommandLine::try_parse_from(arguments) {
        Ok(CommandLine { command: Verb::Serve(serve) }) => {
            serve.validate()?;
            Ok(Command::Serve(serve))
        }
        Ok(CommandLine { command: Verb::Check(check) }) => Ok(Command::Check(check)),
        Ok(CommandLine { command: Verb::ApiKey(api_key) }) => Ok(Command::ApiKey(api_key)),
        Ok(CommandLine { command: Verb::Infer(infer) }) => Ok(Command::Infer(infer)),
        Ok(CommandLine { command: Verb::Plugin(plugin) }) => Ok(Command::Plugin(plugin)),
        Ok(CommandLine { command: Verb::Limits(limits) }) => Ok(Command::Print(limits.limits()?.to_string())),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Command::Print(error.render().to_string()))
        }
        Err(error) => Err(ArgumentError::of(&error)),
    }
}

#[cfg(test)]
mod tests;
