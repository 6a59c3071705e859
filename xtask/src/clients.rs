//! `cargo xtask clients`: the end-to-end suite of real clients, in Python because that is where the clients are.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    arguments::Arguments,
    command::run_observed,
    failure::Failure,
    guests,
    server::{self, Profile},
    setup::{self, perf_analyzer, python},
    tally::Tally,
    workspace::Workspace,
};

pub(crate) fn run(workspace: &Workspace, mut arguments: Arguments) -> Result<(), Failure> {
    let binary: Option<PathBuf> = arguments.value("--server")?;
    setup::ensure(workspace, &[&setup::ONNXRUNTIME, &setup::PYTHON, &setup::PERF_ANALYZER])?;
    guests::build(workspace)?;
    let binary =
        binary.map_or_else(|| server::build(workspace, Profile::Dev), |path| Ok(workspace.root().join(path)))?;
    run_suite(workspace, &binary, &arguments.rest(), &mut Tally::default())
}

/// Runs the suite against `binary`; whatever it needs is set up and built.
pub(crate) fn run_suite(
    workspace: &Workspace,
    binary: &Path,
    pytest_arguments: &[String],
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut command = Command::new(python::interpreter(workspace));
    command.current_dir(workspace.root()).args(["-u", "-m", "pytest", "--rootdir=tests/clients"]);
    if !pytest_arguments.iter().any(|word| word.contains("tests/clients")) {
        command.arg("tests/clients");
    }
    command.args(pytest_arguments);
    command.env("NEREID_SERVER", binary).env("NEREID_PERF_ANALYZER", perf_analyzer::program(workspace));
    run_observed(&mut command, |line| tally.read(line))
}
