//! CUDA's run-time compiler out of its Python wheel: what the fil backend compiles its kernel with.
//!
//! Needs neither driver nor device, so that the kernel is compiled in tests everywhere. No Python at run time.

use std::{fs, path::PathBuf};

use crate::{
    failure::Failure,
    setup::python,
    workspace::{Workspace, create_folder},
};

/// Of the CUDA release that the server's other CUDA libraries are of.
const VERSION: &str = "13.0.88";

const LIBRARIES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc-builtins.so.13.0"];

/// What the server looks for in its folder.
fn library(workspace: &Workspace) -> PathBuf {
    workspace.fetched("nvrtc").join("libnvrtc.so.13")
}

/// Written when all is there; says which.
fn stamp(workspace: &Workspace) -> PathBuf {
    workspace.fetched("nvrtc/version")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let is_current = fs::read_to_string(stamp(workspace)).is_ok_and(|version| version == VERSION);
    is_current.then(|| workspace.show(&library(workspace)))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    let scratch = workspace.scratch("nvrtc")?;
    let wheel = python::download_wheel(workspace, "nvidia-cuda-nvrtc", VERSION, &scratch)?;
    let unpacked = scratch.join("unpacked");
    create_folder(&unpacked)?;
    for name in LIBRARIES {
        python::unpack_file(&wheel, &format!("nvidia/cu13/lib/{name}"), &unpacked.join(name))?;
    }
    fs::write(unpacked.join("version"), VERSION).map_err(Failure::io(format_args!("write its version")))?;
    let folder = workspace.fetched("nvrtc");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io(format_args!("remove {}", folder.display())))?;
    }
    // Put in place when complete: an interrupted download never looks like a library.
    fs::rename(&unpacked, &folder).map_err(Failure::io(format_args!("place {}", folder.display())))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}
