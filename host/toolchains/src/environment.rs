//! Python environments: where wheels are installed, of compilers and of clients alike.

use std::{path::Path, process::Command};

use crate::{
    Failure,
    command::{run, succeeds},
    debian,
};

/// Makes an environment with nothing but pip in it; a broken one (its Python was removed) is made anew.
///
/// # Errors
/// There is no Python, and none can be installed.
pub fn ensure(folder: &Path) -> Result<(), Failure> {
    if succeeds(Command::new(folder.join("bin/python")).args(["-m", "pip", "--version"])) {
        return Ok(());
    }
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        debian::install(&["python3", "python3-venv"], "an environment for Python packages")?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))
}
