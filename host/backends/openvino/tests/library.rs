//! What a model's owner reads when OpenVINO is too old, for another processor, or something else. A process of its own, since
//! one that has loaded the library keeps it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nereid_backend::{Backend, LibrarySearch};
use nereid_backend_openvino::{OpenvinoBackend, OpenvinoSettings};
use nereid_inference::{ErrorKind, InferError, LoadClock, ModelConfig, ModelIdentity, ModelSource};

/// Where all functions that the backend looks for are named.
const FUNCTIONS: &str = include_str!("../src/ffi/functions.rs");

fn load_error(library: &Path) -> InferError {
    let version_directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/models/openvino");
    let config =
        ModelConfig { name: "m".into(), default_model_filename: "digits.xml".into(), ..ModelConfig::default() };
    let source = ModelSource {
        identity: ModelIdentity::new("m", 1),
        model_directory: version_directory.clone(),
        version_directory,
        config,
        clock: LoadClock::default(),
    };
    let search = LibrarySearch { library: Some(library.into()), folders: vec![] };
    let backend = OpenvinoBackend::new(OpenvinoSettings { search, default_max_batch_size: 4 });
    backend.complete_config(&source).err().unwrap()
}

/// A library that has every function, and tells its version.
fn library_of(version: &str, folder: &Path) -> PathBuf {
    let names = FUNCTIONS.split('"').filter(|text| text.starts_with("ov_") && *text != "ov_get_openvino_version");
    let mut code: String = names.map(|name| format!("int {name}(void) {{ return 0; }}\n")).collect();
    code += &format!(
        "struct version {{ const char *number, *description; }};\n\
         int ov_get_openvino_version(struct version *version) {{ version->number = \"{version}\"; return 0; }}\n"
    );
    let (source, library) = (folder.join("openvino.c"), folder.join("libopenvino_c.so"));
    fs::write(&source, code).unwrap();
    // The linker that Rust itself needs compiles C too.
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success());
    library
}

#[test]
fn a_library_that_is_too_old_says_found_and_expected() {
    let folder = tempfile::tempdir().unwrap();
    let library = library_of("2024.6.0-17404-4c0f47d2335", folder.path());
    let error = load_error(&library);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let expected = format!(
        "model 'm' needs the OpenVINO library libopenvino_c.so, and none could be loaded; tried: {} (version \
         2024.6.0-17404-4c0f47d2335, expected 2025.1 or newer). Run `cargo xtask backend openvino`, or name the library in \
         NEREID_OPENVINO_LIBRARY",
        library.display()
    );
    assert_eq!(error.message(), expected);
}

#[test]
fn a_library_for_another_processor_is_refused_in_the_loaders_words() {
    let folder = tempfile::tempdir().unwrap();
    let library = library_of("2026.4.1", folder.path());
    let mut bytes = fs::read(&library).unwrap();
    // Where an ELF file says which processor it is for; no processor has this number.
    bytes.splice(18..20, [0xfe, 0xca]);
    fs::write(&library, bytes).unwrap();
    let error = load_error(&library);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&format!("tried: {} (cannot be loaded: ", library.display())), "{error}");
}
