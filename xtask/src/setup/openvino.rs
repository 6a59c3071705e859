//! OpenVINO out of its Python wheel: the runtime, its plugin for processors, and the readers of the files that are served.
//!
//! 100 MB of 184: the plugins for GPUs and NPUs and the readers of other formats stay behind. No Python at run time.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use crate::{
    failure::Failure,
    setup::python,
    workspace::{Workspace, create_folder},
};

const VERSION: &str = "2026.4.1";

/// The end of the names of its libraries.
const LIBRARY_VERSION: &str = "2641";

const LIBRARIES: [&str; 5] = [
    "libopenvino.so",
    "libopenvino_c.so",
    "libopenvino_ir_frontend.so",
    "libopenvino_onnx_frontend.so",
    "libopenvino_tensorflow_frontend.so",
];

/// Those whose names have no version of OpenVINO's.
const OTHERS: [&str; 2] = ["libopenvino_intel_cpu_plugin.so", "libtbb.so.12"];

/// What the server looks for in its folder.
fn library(workspace: &Workspace) -> PathBuf {
    workspace.fetched("openvino").join("libopenvino_c.so")
}

/// Written when all is there; says which.
fn stamp(workspace: &Workspace) -> PathBuf {
    workspace.fetched("openvino/version")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let is_current = fs::read_to_string(stamp(workspace)).is_ok_and(|version| version == VERSION);
    is_current.then(|| workspace.show(&library(workspace)))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    let scratch = workspace.scratch("openvino")?;
    let wheel = python::download_wheel(workspace, "openvino", VERSION, &scratch)?;
    let unpacked = scratch.join("unpacked");
    create_folder(&unpacked)?;
    let versioned = LIBRARIES.map(|name| format!("{name}.{LIBRARY_VERSION}"));
    for name in versioned.iter().map(String::as_str).chain(OTHERS) {
        python::unpack_file(&wheel, &format!("openvino/libs/{name}"), &unpacked.join(name))?;
    }
    // The wheel has no name without a version.
    symlink(format!("libopenvino_c.so.{LIBRARY_VERSION}"), unpacked.join("libopenvino_c.so"))
        .map_err(Failure::io(format_args!("link libopenvino_c.so")))?;
    fs::write(unpacked.join("version"), VERSION).map_err(Failure::io(format_args!("write its version")))?;
    let folder = workspace.fetched("openvino");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io(format_args!("remove {}", folder.display())))?;
    }
    // Put in place when complete: an interrupted download never looks like a library.
    fs::rename(&unpacked, &folder).map_err(Failure::io(format_args!("place {}", folder.display())))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}
