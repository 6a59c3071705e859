//! What `nereid plugin test` and `nereid plugin bench` have in common: which plugin, and what it is asked.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use nereid_backend_wasm::PluginPolicy;
use nereid_client::{InputArgument, inputs_of};
use nereid_inference::{InferRequest, LogFormat, LogSettings};
use nereid_rehearsal::{Case, RehearsalError, Stage, cases_of, read_case};
use nereid_telemetry::init_logging;

use crate::{error::ServerError, operator_file::OperatorFile};

/// The name of the case that the command line makes.
const GIVEN: &str = "the inputs given";

#[derive(Args, Clone, Debug)]
pub(super) struct TrialArguments {
    /// The plugin's folder, with config.pbtxt and 1/model.wasm
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub(super) folder: PathBuf,

    /// A case, a JSON file with a request and what is expected of it; every tests/*.json of the folder unless given
    #[arg(long = "case", value_name = "FILE", action = ArgAction::Append, conflicts_with = "inputs")]
    cases: Vec<PathBuf>,

    /// One request in place of cases: INPUT=1,2,3 or INPUT=@FILE, as 'nereid infer -i' takes them
    #[arg(short = 'i', long = "input", value_name = "INPUT=VALUE", action = ArgAction::Append)]
    inputs: Vec<InputArgument>,

    /// What the server's operator allows: the file that 'nereid serve --server-config' is given
    #[arg(long, value_name = "FILE")]
    server_config: Option<PathBuf>,
}

// === impl TrialArguments ===

impl TrialArguments {
    pub(super) fn policy(&self) -> Result<PluginPolicy, ServerError> {
        Ok(OperatorFile::load(self.server_config.as_deref())?.plugins)
    }

    /// The cases that the command line asks for, or that the folder has.
    pub(super) fn cases(&self, stage: &Stage) -> Result<Vec<Case>, RehearsalError> {
        let signature = stage.model().signature();
        if !self.inputs.is_empty() {
            let inputs = inputs_of(signature, &self.inputs)?;
            return Ok(vec![Case::of_request(GIVEN, InferRequest::new(inputs))]);
        }
        let paths = if self.cases.is_empty() { cases_of(&self.folder)? } else { self.cases.clone() };
        paths.iter().map(|path| read_case(path, signature)).collect()
    }
}

/// Shows what the plugin logs, on standard error.
pub(super) fn show_log() -> Result<(), ServerError> {
    let (info, warning, error) = (true, true, true);
    init_logging(LogSettings { info, warning, error, verbose_level: 0, format: LogFormat::Default, file: None })?;
    Ok(())
}
