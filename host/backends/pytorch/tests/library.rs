//! What a model's owner reads when the shim is older or newer than the server, or for another processor. A process of its
//! own, since one that has loaded LibTorch keeps it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nereid_backend::{Backend, LibrarySearch};
use nereid_backend_pytorch::{PytorchBackend, PytorchSettings};
use nereid_inference::{
    ErrorKind, InferError, LoadClock, ModelConfig, ModelIdentity, ModelSource,
    config::{ModelInput, ModelOutput},
};
use nereid_tensor::DataType;

fn load_error(library: &Path) -> InferError {
    let version_directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/models/torch");
    let input =
        ModelInput { name: "INPUT__0".into(), data_type: DataType::Fp32.into(), dims: vec![64], ..Default::default() };
    let output = ModelOutput {
        name: "OUTPUT__0".into(),
        data_type: DataType::Fp32.into(),
        dims: vec![10],
        ..Default::default()
    };
    let config = ModelConfig {
        name: "m".into(),
        default_model_filename: "digits_mlp.pt".into(),
        inputs: vec![input],
        outputs: vec![output],
        ..ModelConfig::default()
    };
    let source = ModelSource {
        identity: ModelIdentity::new("m", 1),
        model_directory: version_directory.clone(),
        version_directory,
        config,
        clock: LoadClock::default(),
    };
    let search = LibrarySearch { library: Some(library.into()), folders: vec![] };
    PytorchBackend::new(PytorchSettings { search, trusted_folders: vec![] }).load(&source).err().unwrap()
}

/// A shim that only tells its interface.
fn shim_of(interface: u32, folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shim.c"), folder.join("libnereid_torch.so"));
    fs::write(&source, format!("int nereid_torch_interface(void) {{ return {interface}; }}\n")).unwrap();
    // The linker that Rust itself needs compiles C too.
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success());
    library
}

#[test]
fn a_shim_that_is_older_or_newer_says_found_and_expected() {
    for interface in [1, 99] {
        let folder = tempfile::tempdir().unwrap();
        let library = shim_of(interface, folder.path());
        let error = load_error(&library);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let expected = format!(
            "model 'm' needs LibTorch and the shim libnereid_torch.so, and none could be loaded; tried: {} (the shim of \
             another release: interface {interface}, expected ",
            library.display()
        );
        assert!(error.message().starts_with(&expected), "{error}");
        assert!(error.message().contains("Run `cargo xtask backend pytorch`"), "{error}");
    }
}

#[test]
fn a_shim_for_another_processor_is_refused_in_the_loaders_words() {
    let folder = tempfile::tempdir().unwrap();
    let library = shim_of(99, folder.path());
    let mut bytes = fs::read(&library).unwrap();
    // Where an ELF file says which processor it is for; no processor has this number.
    bytes.splice(18..20, [0xfe, 0xca]);
    fs::write(&library, bytes).unwrap();
    let error = load_error(&library);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&format!("tried: {} (cannot be loaded: ", library.display())), "{error}");
}
