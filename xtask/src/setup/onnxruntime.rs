//! The ONNX Runtime library, taken out of its Python wheel: one file, no headers, no Python at run time.

use std::{fs, path::PathBuf};

use crate::{
    failure::Failure,
    setup::python,
    workspace::{Workspace, create_folder},
};

pub(crate) const VERSION: &str = "1.31.1";

/// Where the server looks for the library when it is started in the repository.
pub(crate) fn library(workspace: &Workspace) -> PathBuf {
    workspace.fetched("onnxruntime").join(format!("libonnxruntime.so.{VERSION}"))
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let library = library(workspace);
    library.is_file().then(|| workspace.show(&library))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    let scratch = workspace.scratch("onnxruntime")?;
    let wheel = python::download_wheel(workspace, "onnxruntime", VERSION, &scratch)?;
    let unpacked = scratch.join("library");
    python::unpack_file(&wheel, &format!("onnxruntime/capi/libonnxruntime.so.{VERSION}"), &unpacked)?;
    let library = library(workspace);
    create_folder(&workspace.fetched("onnxruntime"))?;
    // Renamed when complete: an interrupted download never looks like a library.
    fs::rename(&unpacked, &library).map_err(Failure::io(format_args!("place {}", library.display())))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}
