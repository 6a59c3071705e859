//! componentize-py, which makes a component of a Python plugin with an interpreter inside.
//!
//! In a Python environment of its own, `plugin_languages`, that compilers for further languages share. Nothing of it
//! is needed where a plugin runs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure, Home, Sources,
    command::{capture, run_with_heartbeat},
    environment,
};

const PACKAGE: &str = "componentize-py";

/// With CPython 3.14; the newest whose components fit wasmtime 48.
const VERSION: &str = "0.25.1";

/// The compiler.
pub fn program(home: &Home) -> PathBuf {
    environment(home).join("bin/componentize-py")
}

pub fn find(home: &Home) -> Option<String> {
    let version = capture(Command::new(program(home)).arg("--version")).ok()?;
    version.trim().ends_with(VERSION).then(|| format!("{PACKAGE} {VERSION}"))
}

pub fn fetch(home: &Home) -> Result<(), Failure> {
    install(home, PACKAGE, VERSION)
}

/// Makes a component of a plugin whose module is `plugin.py`.
///
/// # Errors
/// The compiler cannot be started, or refuses the plugin; it has said why.
pub fn componentize(home: &Home, sources: &Sources<'_>, component: &Path) -> Result<(), Failure> {
    let mut command = Command::new(program(home));
    command.arg("--quiet").arg("--wit-path").arg(sources.wit).args(["--world", sources.world]);
    command.arg("componentize").arg("--python-path").arg(sources.plugin);
    command.arg("--python-path").arg(sources.sdk);
    command.arg("nereid_plugin").arg("--output").arg(component);
    // An environment of the developer's must not reach the plugin.
    run_with_heartbeat(command.env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH"))
}

/// Puts a package of the Python index, without what it depends on, into the environment.
pub fn install(home: &Home, package: &str, version: &str) -> Result<(), Failure> {
    let folder = environment(home);
    environment::ensure(&folder)?;
    run_with_heartbeat(
        Command::new(folder.join("bin/python"))
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
pub fn environment(home: &Home) -> PathBuf {
    home.path("plugin_languages")
}
