//! `cargo xtask clients`: the end-to-end suites, in Python because that is where the clients are.
//!
//! Two folders: `tests/clients` drives the server with the clients that users have, `tests/conformance` with cases that say
//! what is asked and what must come, byte by byte.

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
    setup::{self, model_analyzer, perf_analyzer, python, redis},
    tally::Tally,
    workspace::Workspace,
};

pub(crate) fn run(workspace: &Workspace, mut arguments: Arguments) -> Result<(), Failure> {
    let binary: Option<PathBuf> = arguments.value("--server")?;
    setup::ensure(workspace, &setup::BACKENDS)?;
    setup::ensure(workspace, &setup::CLIENTS)?;
    guests::build(workspace)?;
    let binary =
        binary.map_or_else(|| server::build(workspace, Profile::Dev), |path| Ok(workspace.root().join(path)))?;
    run_suite(workspace, &binary, &arguments.rest(), &mut Tally::default())
}

const SUITES: [&str; 2] = ["tests/clients", "tests/conformance"];

/// Runs the suites, or those parts that the arguments name, against `binary`; whatever they need is set up and built.
pub(crate) fn run_suite(
    workspace: &Workspace,
    binary: &Path,
    pytest_arguments: &[String],
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut command = Command::new(python::interpreter(workspace));
    command.current_dir(workspace.root()).args([
        "-u",
        "-m",
        "pytest",
        "--rootdir=tests",
        "-c=tests/clients/pytest.ini",
    ]);
    let names_a_suite = |word: &String| SUITES.iter().any(|suite| word.contains(suite));
    if !pytest_arguments.iter().any(names_a_suite) {
        command.args(SUITES);
    }
    command.args(pytest_arguments);
    command.env("NEREID_SERVER", binary);
    command.env("NEREID_PERF_ANALYZER", perf_analyzer::program(workspace));
    command.env("NEREID_MODEL_ANALYZER", model_analyzer::program(workspace));
    command.env("NEREID_REDIS_SERVER", redis::program(workspace));
    run_observed(&mut command, |line| tally.read(line))
}
