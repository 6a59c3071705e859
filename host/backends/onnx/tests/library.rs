//! What a model's owner reads when the library is missing or too old. A process of its own, since one that has loaded
//! the library keeps it.

use std::{fs, path::Path, process::Command};

use nereid_backend::Backend;
use nereid_backend_onnx::{OnnxBackend, OnnxSettings};
use nereid_inference::{ErrorKind, InferError, LoadClock, ModelConfig, ModelIdentity, ModelSource};

/// The smallest library that `ort` takes for an ONNX Runtime: it only tells its version.
const OLD_LIBRARY: &str = r#"
    struct base { const void *(*get_api)(unsigned); const char *(*get_version)(void); };
    static const void *get_api(unsigned version) { (void)version; return 0; }
    static const char *get_version(void) { return "1.16.3"; }
    static const struct base base = { get_api, get_version };
    const struct base *OrtGetApiBase(void) { return &base; }
"#;

fn load_error(settings: OnnxSettings) -> Option<InferError> {
    let model_directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/models");
    let config =
        ModelConfig { name: "mlp".into(), default_model_filename: "mlp.onnx".into(), ..ModelConfig::default() };
    let source = ModelSource {
        identity: ModelIdentity::new("mlp", 1),
        version_directory: model_directory.clone(),
        model_directory,
        config,
        clock: LoadClock::default(),
    };
    OnnxBackend::new(settings).complete_config(&source).err()
}

#[test]
fn a_missing_library_names_the_place_the_version_and_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libonnxruntime.so");
    let settings = OnnxSettings { library: Some(library.clone()), search: vec![], default_max_batch_size: 4 };
    let error = load_error(settings).unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.message(),
        format!(
            "model 'mlp' needs the ONNX Runtime library, version 1.24 or newer, and none could be loaded; tried: {} (no \
             such file). Run `cargo xtask setup onnxruntime`, or name the library file in NEREID_ONNXRUNTIME_LIBRARY",
            library.display()
        )
    );
}

#[test]
fn a_file_that_is_no_library_says_why_it_cannot_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libonnxruntime.so");
    fs::write(&library, "text").unwrap();
    let settings = OnnxSettings { library: Some(library.clone()), search: vec![], default_max_batch_size: 4 };
    let error = load_error(settings).unwrap();
    let expected = format!("tried: {} (cannot be loaded: {}: ", library.display(), library.display());
    assert!(error.message().contains(&expected), "{error}");
}

#[test]
fn a_library_that_is_too_old_says_found_and_expected() {
    let folder = tempfile::tempdir().unwrap();
    let (code, library) = (folder.path().join("old.c"), folder.path().join("libonnxruntime.so.1.16.3"));
    fs::write(&code, OLD_LIBRARY).unwrap();
    // The linker that Rust itself needs compiles C too.
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &code]).status().unwrap();
    assert!(compiled.success());
    let settings = OnnxSettings { library: Some(folder.path().into()), search: vec![], default_max_batch_size: 4 };
    let error = load_error(settings).unwrap();
    let expected = format!("tried: {} (version 1.16.3, expected 1.24 or newer). Run", library.display());
    assert!(error.message().contains(&expected), "{error}");
}
