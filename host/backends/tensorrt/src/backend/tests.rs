//! Plans that are refused: without a library, and with the shim and the lean runtime where `cargo xtask backend tensorrt` has
//! put them. No plan can be executed without a GPU; what happens on one is told by nobody here.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use nereid_backend::LibrarySearch;
use nereid_inference::{ErrorKind, LoadClock, ModelIdentity, config::ModelInput};

use super::*;

/// A plan's header; nothing that TensorRT could execute follows.
fn plan(version: [u8; 4]) -> Vec<u8> {
    [b"ftrt".as_slice(), &[0; 20], &version, &[0; 64]].concat()
}

fn source(bytes: &[u8], config: ModelConfig) -> (tempfile::TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("model.plan"), bytes).unwrap();
    let source = ModelSource {
        identity: ModelIdentity::new("m", 1),
        model_directory: directory.path().into(),
        version_directory: directory.path().into(),
        config: ModelConfig { name: "m".into(), ..config },
        clock: LoadClock::default(),
    };
    (directory, source)
}

/// The folder that xtask fills, if it did.
fn shim_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.nereid/tensorrt");
    let named = env::var_os("NEREID_TENSORRT_LIBRARY").is_some();
    let is_there = named || folder.join("libnereid_tensorrt.so").is_file();
    if !is_there {
        eprintln!("skipped: the shim is not here; `cargo xtask backend tensorrt` compiles it");
    }
    is_there.then_some(folder)
}

fn refusal(bytes: &[u8], folder: PathBuf) -> InferError {
    let (_directory, source) = source(bytes, ModelConfig::default());
    let search = LibrarySearch { library: None, folders: vec![folder] };
    let settings = TensorrtSettings { search, version_compatible: false };
    TensorrtBackend::new(settings, Gpus::none()).complete_config(&source).unwrap_err()
}

#[test]
fn a_file_that_is_no_plan_is_refused_before_any_library_is_looked_for() {
    let error = refusal(b"text", "/nowhere".into());
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().ends_with("model.plan is no TensorRT plan: it has 4 bytes, and the header alone has 28"));
}

#[test]
fn without_a_gpu_tensorrt_is_not_asked_for_a_runtime() {
    let Some(folder) = shim_folder() else { return };
    let error = refusal(&plan([11, 4, 0, 106]), folder);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.message(),
        "model 'm': TensorRT plans run on GPUs, and there is none for it: GPUs were not looked for"
    );
}

#[test]
fn a_plan_of_another_major_version_is_refused_with_both() {
    let Some(folder) = shim_folder() else { return };
    let error = refusal(&plan([8, 6, 1, 6]), folder);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("was made by TensorRT 8.6.1 and the library here is 1"), "{error}");
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let input = ModelInput { name: "x".into(), allow_ragged_batch: true, ..ModelInput::default() };
    let (_directory, source) = source(b"", ModelConfig { inputs: vec![input], ..ModelConfig::default() });
    let error = TensorrtBackend::new(TensorrtSettings::default(), Gpus::none()).load(&source).err().unwrap();
    assert!(error.message().starts_with("model 'm': input 'x' has 'allow_ragged_batch', which"), "{error}");
}

#[test]
fn the_lean_runtime_loads_and_says_its_version() {
    let Some(folder) = shim_folder() else { return };
    let search = LibrarySearch { library: None, folders: vec![folder] };
    let tensorrt = library::tensorrt(&TensorrtSettings { search, version_compatible: false }, "m").unwrap();
    assert!(tensorrt.version().0 >= 10, "{}", tensorrt.version());
}

#[test]
fn a_tensorrt_of_another_major_version_is_not_used() {
    let Some(folder) = shim_folder() else { return };
    let shim = env::var_os("NEREID_TENSORRT_LIBRARY").map_or(folder.join("libnereid_tensorrt.so"), PathBuf::from);
    let directory = tempfile::tempdir().unwrap();
    let (code, old) = (directory.path().join("old.c"), directory.path().join("libnvinfer.so.7"));
    let functions = "int getInferLibVersion(void) { return 70200; } void *createInferRuntime_INTERNAL(void *l, int v) { return l; }";
    fs::write(&code, functions).unwrap();
    // The linker that Rust itself needs compiles C too.
    let compiled =
        std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&old, &code]).status().unwrap();
    assert!(compiled.success());
    let name = std::ffi::CString::new(old.to_str().unwrap()).unwrap();
    let text = TensorRt::load(&shim, |_major| vec![name]).err().unwrap();
    assert!(text.contains("TensorRT 7.2.0, but the shim was compiled for TensorRT 1"), "{text}");
}
