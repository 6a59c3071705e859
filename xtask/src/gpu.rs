//! The tests that need a CUDA device (`tests/gpu`): run where there is one, and said to be skipped where there is none.

use std::{path::Path, process::Command};

use crate::{
    command::{announce, run_observed},
    failure::Failure,
    tally::Tally,
    workspace::Workspace,
};

/// Set to 1 it makes a missing device a failure.
const REQUIRED: &str = "NEREID_REQUIRE_GPU";

/// Runs `tests/gpu/run` against `server`.
pub(crate) fn run(workspace: &Workspace, server: &Path, tally: &mut Tally) -> Result<(), Failure> {
    if !has_gpu() {
        if std::env::var_os(REQUIRED).is_some_and(|value| value == "1") {
            return Err(Failure::new(format!("{REQUIRED}=1, and nvidia-smi lists no GPU")));
        }
        announce(format_args!("skipped: nvidia-smi lists no GPU ({REQUIRED}=1 makes that a failure)"));
        return Ok(());
    }
    let mut command = Command::new(workspace.root().join("tests/gpu/run"));
    command.current_dir(workspace.root()).env("NEREID_SERVER", server);
    run_observed(&mut command, |line| tally.read(line))
}

fn has_gpu() -> bool {
    let listed = Command::new("nvidia-smi").arg("-L").output();
    listed.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"GPU "))
}
