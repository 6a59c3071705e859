//! A real Redis server for the tests of the response cache: Debian's, unpacked into a folder of ours.
//!
//! Nothing is installed on the system, so that no service starts by itself and none is left running; the tests start the
//! program and end it. What the system lacks below the package (the program's libraries) is unpacked with it, and a wrapper
//! script sets the library path.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    command::{capture, succeeds},
    failure::Failure,
    setup::debian,
    workspace::{Workspace, create_folder},
};

const PACKAGE: &str = "redis-server";

/// The wrapper script; what the client suite starts.
pub(crate) fn program(workspace: &Workspace) -> PathBuf {
    workspace.fetched("redis/redis-server")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let program = program(workspace);
    succeeds(Command::new(&program).arg("--version")).then(|| workspace.show(&program))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    debian::ensure_lists(PACKAGE)?;
    let folder = workspace.fetched("redis");
    create_folder(&folder)?;
    let missing = debian::missing_below(&[PACKAGE])?;
    if missing.is_empty() {
        // The system has it; its own is as good.
        return write_wrapper(&program(workspace), "exec redis-server \"$@\"\n");
    }
    let scratch = workspace.scratch("redis")?;
    let files = folder.join("files");
    debian::unpack(&missing, &scratch, &files)?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))?;
    let libraries = library_folders(&files)?;
    let script = format!(
        "here=$(dirname \"$(readlink -f \"$0\")\")/files\n\
         LD_LIBRARY_PATH=\"{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\" exec \"$here/usr/bin/redis-server\" \"$@\"\n"
    );
    write_wrapper(&program(workspace), &script)
}

/// Every folder with a library in it, as the script names them.
fn library_folders(files: &Path) -> Result<String, Failure> {
    let found = capture(Command::new("find").arg(files).args(["-name", "*.so*", "-printf", "%P\n"]))?;
    let mut folders: Vec<String> = found
        .lines()
        .filter_map(|library| Path::new(library).parent())
        .map(|folder| format!("$here/{}", folder.display()))
        .collect();
    folders.sort();
    folders.dedup();
    Ok(folders.join(":"))
}

fn write_wrapper(wrapper: &Path, script: &str) -> Result<(), Failure> {
    let script = format!(
        "#!/bin/sh\n# Written by `cargo xtask setup redis`: the server with its libraries on the path.\n{script}"
    );
    fs::write(wrapper, script).map_err(Failure::io(format_args!("write {}", wrapper.display())))?;
    fs::set_permissions(wrapper, fs::Permissions::from_mode(0o755))
        .map_err(Failure::io(format_args!("make {} executable", wrapper.display())))
}
