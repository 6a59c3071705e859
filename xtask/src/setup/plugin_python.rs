//! componentize-py, which makes a component of a Python plugin with an interpreter inside.
//!
//! In a Python environment of its own, `.nereid/plugin_languages`, that compilers for further languages share. Nothing of it
//! is needed where a plugin runs.

use std::{path::PathBuf, process::Command};

use crate::{
    command::{capture, run, run_with_heartbeat, succeeds},
    failure::Failure,
    setup::python,
    workspace::Workspace,
};

const PACKAGE: &str = "componentize-py";

/// With CPython 3.14; the newest whose components fit wasmtime 48.
const VERSION: &str = "0.25.1";

/// The compiler.
pub(crate) fn program(workspace: &Workspace) -> PathBuf {
    environment(workspace).join("bin/componentize-py")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let version = capture(Command::new(program(workspace)).arg("--version")).ok()?;
    version.trim().ends_with(VERSION).then(|| format!("{PACKAGE} {VERSION}"))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    install(workspace, PACKAGE, VERSION)
}

/// Puts a package of the Python index, without what it depends on, into the environment.
pub(crate) fn install(workspace: &Workspace, package: &str, version: &str) -> Result<(), Failure> {
    let environment = environment(workspace);
    let interpreter = environment.join("bin/python");
    if !succeeds(Command::new(&interpreter).args(["-m", "pip", "--version"])) {
        python::ensure_environment(workspace)?;
        run(Command::new(python::interpreter(workspace)).args(["-m", "venv", "--clear"]).arg(&environment))?;
    }
    run_with_heartbeat(
        Command::new(interpreter)
            .args([
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--quiet",
                "install",
                "--no-deps",
                "--only-binary=:all:",
                // What is there and not usable was moved: its programs name the interpreter by its path.
                "--force-reinstall",
            ])
            .arg(format!("{package}=={version}")),
    )
}

/// Where packages of the Python index lie that are compilers.
pub(crate) fn environment(workspace: &Workspace) -> PathBuf {
    workspace.fetched("plugin_languages")
}
