//! `cargo xtask backend NAME`: the native library of one backend, into the folder where the server finds it.

use crate::{
    arguments::Arguments,
    failure::Failure,
    setup::{self, Component},
    workspace::Workspace,
};

/// Backends with a library of their own; the names are those in `config.pbtxt`, but for `nvrtc`, which is what fil needs on GPUs.
const BACKENDS: [(&str, &Component); 8] = [
    ("fil", &setup::NVRTC),
    ("nvrtc", &setup::NVRTC),
    ("onnxruntime", &setup::ONNXRUNTIME),
    // The same backend, for GPUs.
    ("onnxruntime-gpu", &setup::ONNXRUNTIME_GPU),
    ("openvino", &setup::OPENVINO),
    ("pytorch", &setup::PYTORCH),
    ("tensorflow", &setup::OPENVINO),
    ("tensorrt", &setup::TENSORRT),
];

pub(crate) fn run(workspace: &Workspace, arguments: Arguments) -> Result<(), Failure> {
    let words = arguments.rest();
    let known = || BACKENDS.map(|(name, _)| name).join(", ");
    if words.is_empty() {
        return Err(Failure::new(format!("name one or more backends: {}", known())));
    }
    for word in words {
        let Some((_, component)) = BACKENDS.iter().find(|(name, _)| *name == word) else {
            return Err(Failure::new(format!(
                "no backend called '{word}' needs a library, expected one of {}",
                known()
            )));
        };
        setup::ensure(workspace, &[component])?;
    }
    Ok(())
}
