//! What a model's owner reads when the shim is missing or another library, or TensorRT is. A process of its own, since one
//! that has loaded the library keeps it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nereid_backend::{Backend, LibrarySearch};
use nereid_backend_tensorrt::{TensorrtBackend, TensorrtSettings};
use nereid_gpu::Gpus;
use nereid_inference::{ErrorKind, InferError, LoadClock, ModelConfig, ModelIdentity, ModelSource};

/// A plan's header is all that is read of it.
fn load_error(library: &Path) -> Option<InferError> {
    let directory = tempfile::tempdir().ok()?;
    let plan = [b"ftrt".as_slice(), &[0; 20], &[11, 4, 0, 106]].concat();
    fs::write(directory.path().join("model.plan"), plan).ok()?;
    let source = ModelSource {
        identity: ModelIdentity::new("m", 1),
        model_directory: directory.path().into(),
        version_directory: directory.path().into(),
        config: ModelConfig { name: "m".into(), ..ModelConfig::default() },
        clock: LoadClock::default(),
    };
    let search = LibrarySearch { library: Some(library.into()), folders: vec![] };
    let settings = TensorrtSettings { search, version_compatible: false };
    TensorrtBackend::new(settings, Gpus::none()).complete_config(&source).err()
}

/// A library of this C code, with the name of the shim.
fn library(folder: &Path, code: &str) -> Option<PathBuf> {
    let (source, target) = (folder.join("code.c"), folder.join("libnereid_tensorrt.so"));
    fs::write(&source, code).ok()?;
    // The linker that Rust itself needs compiles C too.
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&target, &source]).status().ok()?;
    compiled.success().then_some(target)
}

#[test]
fn a_missing_shim_names_the_place_the_command_and_the_variables() {
    let error = load_error(Path::new("/nowhere/libnereid_tensorrt.so")).unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.message(),
        "model 'm' needs TensorRT and the shim libnereid_tensorrt.so, and none could be loaded; tried: \
         /nowhere/libnereid_tensorrt.so (no such file). Run `cargo xtask backend tensorrt` for the shim, install TensorRT of its \
         version where the dynamic loader finds it, or name the shim in NEREID_TENSORRT_LIBRARY and TensorRT in \
         NEREID_TENSORRT_RUNTIME"
    );
}

#[test]
fn another_library_is_told_from_the_shim() {
    for (code, expected) in [
        ("int nothing;", "(not the shim that `cargo xtask backend tensorrt` compiles)"),
        ("int nereid_tensorrt_interface(void) { return 7; }", "(the shim of another release: interface 7, expected 2)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = load_error(&library(folder.path(), code).unwrap()).unwrap();
        assert!(error.message().contains(expected), "{error}");
    }
}
