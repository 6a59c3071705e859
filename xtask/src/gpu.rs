//! The tests of CUDA devices (`tests/gpu`): all of them where there is a device; where there is none, those of memory, copies,
//! regions and TensorRT plans, on devices in software.

use std::{path::Path, process::Command};

use crate::{
    command::{announce, run_observed},
    failure::Failure,
    tally::Tally,
    workspace::Workspace,
};

/// Set to 1 it makes a missing device a failure.
const REQUIRED: &str = "NEREID_REQUIRE_GPU";

/// Runs the tests against `server`.
pub(crate) fn run(workspace: &Workspace, server: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let has_gpu = has_gpu();
    if !has_gpu && std::env::var_os(REQUIRED).is_some_and(|value| value == "1") {
        return Err(Failure::new(format!("{REQUIRED}=1, and nvidia-smi lists no GPU")));
    }
    let script = if has_gpu { "tests/gpu/run" } else { "tests/gpu/software/run" };
    if !has_gpu {
        let left_out = "forests, LibTorch and ONNX Runtime on GPUs are not tested";
        announce(format_args!(
            "nvidia-smi lists no GPU: {script} tests memory, copies and plans in software, {left_out}"
        ));
    }
    let mut command = Command::new(workspace.root().join(script));
    command.current_dir(workspace.root()).env("NEREID_SERVER", server);
    run_observed(&mut command, |line| tally.read(line))
}

fn has_gpu() -> bool {
    let listed = Command::new("nvidia-smi").arg("-L").output();
    listed.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"GPU "))
}
