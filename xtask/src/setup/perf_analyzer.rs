//! perf_analyzer 2.51.0: the newest wheel of tritonclient that carries the binary and runs on glibc 2.36.
//!
//! The binary links two libraries even where there is no GPU: libb64 (from Debian, unpacked beside it unless the system
//! has it) and the CUDA runtime (one file of NVIDIA's wheel). A wrapper script sets the library path. x86-64 only.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    command::{capture, succeeds},
    failure::Failure,
    setup::{debian, python},
    workspace::{Workspace, create_folder},
};

const VERSION: &str = "2.51.0";
const CUDA_RUNTIME_VERSION: &str = "12.9.79";

/// The wrapper script; what the client suite starts.
pub(crate) fn program(workspace: &Workspace) -> PathBuf {
    workspace.fetched("perf_analyzer/perf_analyzer")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let program = program(workspace);
    succeeds(Command::new(&program).arg("--version")).then(|| workspace.show(&program))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Failure::new(
            "perf_analyzer 2.51.0 exists for x86-64 only; `cargo xtask setup python` is enough here",
        ));
    }
    let folder = workspace.fetched("perf_analyzer");
    let libraries = folder.join("lib");
    create_folder(&libraries)?;
    let scratch = workspace.scratch("perf_analyzer")?;

    let wheel = python::download_wheel(workspace, "tritonclient", VERSION, &scratch)?;
    let binary = folder.join("perf_analyzer.bin");
    python::unpack_file(&wheel, &format!("tritonclient-{VERSION}.data/data/bin/perf_analyzer"), &binary)?;
    make_executable(&binary)?;

    let wheel = python::download_wheel(workspace, "nvidia-cuda-runtime-cu12", CUDA_RUNTIME_VERSION, &scratch)?;
    python::unpack_file(&wheel, "nvidia/cuda_runtime/lib/libcudart.so.12", &libraries.join("libcudart.so.12"))?;

    if !capture(Command::new("/sbin/ldconfig").arg("-p")).is_ok_and(|known| known.contains("libb64.so.0d")) {
        fetch_libb64(&scratch, &libraries)?;
    }
    write_wrapper(&program(workspace))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}

fn fetch_libb64(scratch: &Path, libraries: &Path) -> Result<(), Failure> {
    debian::unpack(&["libb64-0d".to_owned()], scratch, scratch)?;
    let found = capture(Command::new("find").arg(scratch.join("usr/lib")).args(["-name", "libb64.so.0d*"]))?;
    for file in found.lines().map(Path::new) {
        if let Some(name) = file.file_name() {
            fs::copy(file, libraries.join(name)).map_err(Failure::io(format_args!("copy {}", file.display())))?;
        }
    }
    Ok(())
}

fn write_wrapper(wrapper: &Path) -> Result<(), Failure> {
    let script = "#!/bin/sh\n\
        # Written by `cargo xtask setup perf_analyzer`: the binary with its libraries on the path.\n\
        here=$(dirname \"$(readlink -f \"$0\")\")\n\
        LD_LIBRARY_PATH=\"$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\" exec \"$here/perf_analyzer.bin\" \"$@\"\n";
    fs::write(wrapper, script).map_err(Failure::io(format_args!("write {}", wrapper.display())))?;
    make_executable(wrapper)
}

fn make_executable(file: &Path) -> Result<(), Failure> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .map_err(Failure::io(format_args!("make {} executable", file.display())))
}
