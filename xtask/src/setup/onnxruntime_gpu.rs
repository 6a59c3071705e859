//! ONNX Runtime with its providers for CUDA and TensorRT, and what the CUDA provider needs, taken out of Python wheels.
//!
//! Everything lies beside the library, where the server looks before it asks the provider; NVIDIA's driver is the
//! machine's. TensorRT 10, which the other provider needs, is in no wheel: it is the machine's too. The processor is served by
//! the same library, so it takes the place of the smaller one.

use std::{fs, path::PathBuf};

use crate::{
    failure::Failure,
    setup::{onnxruntime, python},
    workspace::{Workspace, create_folder},
};

/// What the provider of this version of ONNX Runtime was built against; the oldest of CUDA 13, for the sake of drivers.
const LIBRARIES: [(&str, &str, &str); 6] = [
    ("nvidia-cuda-runtime", "13.0.96", "nvidia/cu13/lib/"),
    ("nvidia-cublas", "13.1.0.3", "nvidia/cu13/lib/"),
    ("nvidia-cuda-nvrtc", "13.0.88", "nvidia/cu13/lib/"),
    ("nvidia-curand", "10.4.0.35", "nvidia/cu13/lib/"),
    ("nvidia-cufft", "12.0.0.61", "nvidia/cu13/lib/"),
    ("nvidia-cudnn-cu13", "9.28.1.4", "nvidia/cudnn/lib/"),
];

/// Written when all is there; says which.
fn stamp(workspace: &Workspace) -> PathBuf {
    workspace.fetched("onnxruntime/gpu-version")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let is_current = fs::read_to_string(stamp(workspace)).is_ok_and(|version| version == onnxruntime::VERSION);
    is_current.then(|| workspace.show(&onnxruntime::library(workspace)))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    let scratch = workspace.scratch("onnxruntime_gpu")?;
    let unpacked = scratch.join("unpacked");
    create_folder(&unpacked)?;
    let version = onnxruntime::VERSION;
    let wheel = python::download_wheel(workspace, "onnxruntime-gpu", version, &scratch)?;
    let library = format!("libonnxruntime.so.{version}");
    let providers = ["shared", "cuda", "tensorrt"].map(|name| format!("libonnxruntime_providers_{name}.so"));
    for name in providers.iter().chain([&library]) {
        python::unpack_file(&wheel, &format!("onnxruntime/capi/{name}"), &unpacked.join(name))?;
    }
    for (package, version, folder) in LIBRARIES {
        let wheel = python::download_wheel(workspace, package, version, &scratch)?;
        python::unpack_tree(&wheel, folder, &unpacked)?;
        fs::remove_file(&wheel).map_err(Failure::io(format_args!("remove {}", wheel.display())))?;
    }
    fs::write(unpacked.join("gpu-version"), version).map_err(Failure::io(format_args!("write its version")))?;
    let folder = workspace.fetched("onnxruntime");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io(format_args!("remove {}", folder.display())))?;
    }
    // Put in place when complete: an interrupted download never looks like a library.
    fs::rename(&unpacked, &folder).map_err(Failure::io(format_args!("place {}", folder.display())))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}
