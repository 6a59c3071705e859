//! `nereid plugin build`: from a folder of sources to the component beside its configuration.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_toolchains::{
    Failure, Home, Sources, command, javascript, manifest::Manifest, python, rust::GuestToolchain,
};

use crate::{WorkshopError, homes::Homes, kit, language::Language, world};

/// A component that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    pub file: PathBuf,
    pub bytes: u64,
}

/// Builds the plugin in `folder`; the component goes to `output`, or to where a server looks for it.
///
/// # Errors
/// The folder holds no plugin, a compiler is missing, or it refuses the plugin (and has said why).
pub fn build(folder: &Path, output: Option<&Path>, homes: &Homes) -> Result<Built, WorkshopError> {
    let language = Language::of_folder(folder)?;
    let home = homes.of(language)?;
    let file = match output {
        Some(output) => output.to_owned(),
        None => folder.join(world::of_folder(folder, language)?.component()),
    };
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).map_err(|source| WorkshopError::Write { path: parent.to_owned(), source })?;
    }
    // Made beside its place and renamed: a server that watches the file sees the old or the new one, never a half.
    let fresh = file.with_extension("wasm.partial");
    let made = match language {
        Language::Rust => build_rust(home, folder, &fresh),
        Language::Python | Language::JavaScript | Language::C | Language::Go => compile(language, home, folder, &fresh),
    };
    let placed = made
        .and_then(|()| fs::rename(&fresh, &file).map_err(|source| WorkshopError::Write { path: file.clone(), source }));
    if placed.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    placed?;
    let bytes = fs::metadata(&file).map_err(|source| WorkshopError::Read { path: file.clone(), source })?.len();
    Ok(Built { file, bytes })
}

fn build_rust(home: &Home, folder: &Path, fresh: &Path) -> Result<(), WorkshopError> {
    let toolchain = GuestToolchain::find(home).ok_or_else(|| Failure::new("the Rust compiler is gone"))?;
    let manifest_path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest_path)
        .map_err(|source| WorkshopError::Read { path: manifest_path.clone(), source })?;
    let manifest =
        Manifest::parse(&text).map_err(|reason| Failure::new(format!("{}: {reason}", manifest_path.display())))?;
    let folder = absolute(folder)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder.join("target"), PathBuf::from);
    command::run(&mut toolchain.build_command(&folder, &target)?)?;
    let component = GuestToolchain::output_folder(&target).join(format!("{}.wasm", manifest.artifact_name()));
    if !component.is_file() {
        let (path, artifact) = (manifest_path.display(), component.display());
        let text = format!("{path}: the build made no {artifact}: does [lib] say crate-type = [\"cdylib\"]?");
        return Err(Failure::new(text).into());
    }
    fs::copy(&component, fresh).map(|_| ()).map_err(|source| WorkshopError::Write { path: fresh.to_owned(), source })
}

/// With the SDK that lies in the folder, or with the one that travels inside this program.
fn compile(language: Language, home: &Home, folder: &Path, fresh: &Path) -> Result<(), WorkshopError> {
    let (folder, fresh) = (absolute(folder)?, absolute(fresh)?);
    let own = folder.join("sdk").join(language.name());
    let unpacked = if own.is_dir() { None } else { Some(unpack(language)?) };
    let root = unpacked.as_ref().map_or(folder.as_path(), |unpacked| unpacked.path());
    let (sdk, wit) = (root.join("sdk").join(language.name()), root.join("wit"));
    let world = world::of_folder(&folder, language)?.in_contract();
    let sources = Sources { plugin: &folder, sdk: &sdk, wit: &wit, world };
    match language {
        Language::JavaScript => javascript::componentize(home, &sources, &fresh)?,
        Language::C => nereid_componentize::componentize_c(home, &sources, &fresh)?,
        Language::Go => nereid_componentize::componentize_go(home, &sources, &fresh)?,
        _ => python::componentize(home, &sources, &fresh)?,
    }
    Ok(())
}

fn unpack(language: Language) -> Result<tempfile::TempDir, WorkshopError> {
    let folder = tempfile::tempdir().map_err(|source| WorkshopError::Write { path: std::env::temp_dir(), source })?;
    kit::write(folder.path(), &kit::sdk(language))?;
    Ok(folder)
}

/// Compilers run in folders of their own.
fn absolute(path: &Path) -> Result<PathBuf, WorkshopError> {
    std::path::absolute(path).map_err(|source| WorkshopError::Read { path: path.to_owned(), source })
}
