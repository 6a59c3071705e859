//! NVIDIA's Model Analyzer in an environment of its own, `.nereid/model_analyzer`: it wants packages that nobody else does.
//!
//! The packages are pinned in `tests/clients/model_analyzer.txt` and installed without looking for further ones; a changed
//! file installs them again.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    command::{run, run_with_heartbeat, succeeds},
    failure::Failure,
    setup::python,
    workspace::Workspace,
};

const REQUIREMENTS: &str = "tests/clients/model_analyzer.txt";

/// What the client suite starts.
pub(crate) fn program(workspace: &Workspace) -> PathBuf {
    workspace.fetched("model_analyzer/bin/model-analyzer")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let wanted = fs::read(workspace.path(REQUIREMENTS)).ok()?;
    let installed = fs::read(stamp(workspace)).ok()?;
    (wanted == installed && succeeds(Command::new(program(workspace)).arg("--version")))
        .then(|| format!(".nereid/model_analyzer with {REQUIREMENTS}"))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    python::ensure_environment(workspace)?;
    let folder = workspace.fetched("model_analyzer");
    run(Command::new(python::interpreter(workspace)).args(["-m", "venv", "--clear"]).arg(&folder))?;
    run_with_heartbeat(
        Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps", "--requirement"])
            .arg(workspace.path(REQUIREMENTS)),
    )?;
    let stamp = stamp(workspace);
    fs::copy(workspace.path(REQUIREMENTS), &stamp)
        .map(|_| ())
        .map_err(Failure::io(format_args!("write {}", stamp.display())))
}

/// A copy of the requirements that were installed, written last.
fn stamp(workspace: &Workspace) -> PathBuf {
    workspace.fetched("model_analyzer/installed-requirements.txt")
}
