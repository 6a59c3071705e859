//! `cargo xtask guests`: every plugin and every test guest, from source to component, to where a model needs it.
//!
//! Two cargo workspaces hold the guests, `plugins` and `tests/guests`; they share one target folder, so what both
//! depend on is compiled once. Each component is copied to `target/guests/NAME.wasm`, and further to each path that its
//! manifest lists:
//!
//! ```toml
//! [package.metadata.nereid]
//! installs = ["model_repository/image_preprocess/1/model.wasm"]
//! ```
//!
//! Guests in other languages are built by [`languages`].
//!
//! A copy whose content is the same is not written again: a server that watches the file does not reload it.

mod languages;

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_toolchains::{manifest::Manifest, rust::GuestToolchain};

use crate::{
    arguments::Arguments,
    command::{announce, run as run_command},
    failure::Failure,
    setup,
    workspace::{Workspace, create_folder, list_folder},
};

pub(crate) const WORKSPACES: [&str; 2] = ["plugins", "tests/guests"];

/// Members of those that lie a folder deeper, beside the same plugin in other languages or another world.
const CONTRACT_CRATES: [&str; 4] =
    ["contract/rust", "contract_model/rust", "contract_full/rust", "contract_full/awaiting"];

pub(crate) fn run(workspace: &Workspace, arguments: Arguments) -> Result<(), Failure> {
    arguments.finish()?;
    build(workspace)
}

/// Builds and installs every guest; sets up the compiler first if there is none.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    let (toolchain, target_folder) = prepare(workspace)?;
    for name in WORKSPACES {
        let folder = workspace.path(name);
        announce(format_args!("building the components of {name}"));
        run_command(&mut toolchain.build_command(&folder, &target_folder)?)?;
        for guest in list_folder(&folder)?.into_iter().chain(CONTRACT_CRATES.map(|name| folder.join(name))) {
            install(workspace, &guest, &target_folder)?;
        }
    }
    languages::build(workspace, &target_folder)
}

/// Builds and installs the Rust plugins that one model repository is served with, and nothing else: who wants to see the demo does
/// not wait for the guests of tests and of other examples.
pub(crate) fn build_served_by(workspace: &Workspace, repository: &str) -> Result<(), Failure> {
    let (toolchain, target_folder) = prepare(workspace)?;
    let folder = workspace.path("plugins");
    let mut command = toolchain.build_command(&folder, &target_folder)?;
    let mut guests = Vec::new();
    for guest in list_folder(&folder)? {
        let Some(manifest) = read_manifest(workspace, &guest)? else { continue };
        if manifest.installs.iter().any(|path| Path::new(path).starts_with(repository)) {
            command.arg("--package").arg(&manifest.name);
            guests.push(guest);
        }
    }
    announce(format_args!("building the plugins of {repository}"));
    run_command(&mut command)?;
    guests.iter().try_for_each(|guest| install(workspace, guest, &target_folder))
}

/// The compiler, set up if there is none, and the folder that it builds into.
fn prepare(workspace: &Workspace) -> Result<(GuestToolchain, PathBuf), Failure> {
    setup::ensure(workspace, &[&setup::GUESTS])?;
    let toolchain = GuestToolchain::find(&workspace.home());
    let toolchain = toolchain.ok_or_else(|| Failure::new("the compiler for guests is gone"))?;
    Ok((toolchain, workspace.path("target/guests")))
}

/// What is needed of a guest's Cargo.toml; none where it has none.
fn read_manifest(workspace: &Workspace, guest: &Path) -> Result<Option<Manifest>, Failure> {
    let path = guest.join("Cargo.toml");
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(Failure::io(format_args!("read {}", path.display())))?;
    let manifest = Manifest::parse(&text);
    manifest.map(Some).map_err(|reason| Failure::new(format!("{}: {reason}", workspace.show(&path))))
}

/// Copies the component of one guest's folder to where it is needed.
fn install(workspace: &Workspace, guest: &Path, target_folder: &Path) -> Result<(), Failure> {
    let Some(manifest) = read_manifest(workspace, guest)? else { return Ok(()) };
    let component = GuestToolchain::output_folder(target_folder).join(format!("{}.wasm", manifest.artifact_name()));
    if !component.is_file() {
        return match manifest.installs.is_empty() {
            true => Ok(()), // a library that other guests share
            false => Err(Failure::new(format!(
                "{} installs a component, and its build made no {}: does it say crate-type = [\"cdylib\"]?",
                workspace.show(&guest.join("Cargo.toml")),
                workspace.show(&component)
            ))),
        };
    }
    let mut destinations = vec![target_folder.join(format!("{}.wasm", manifest.name))];
    destinations.extend(manifest.installs.iter().map(|path| workspace.path(path)));
    destinations.iter().try_for_each(|destination| copy_if_changed(workspace, &component, destination))
}

/// Moves a component that was just made to where it is looked for.
fn place(workspace: &Workspace, fresh: &Path, destination: &Path) -> Result<(), Failure> {
    let length = fs::metadata(fresh).map_err(Failure::io(format_args!("find {}", fresh.display())))?.len();
    fs::rename(fresh, destination).map_err(Failure::io(format_args!("place {}", destination.display())))?;
    println!("    {} ({} KiB)", workspace.show(destination), length.div_ceil(1024));
    Ok(())
}

fn copy_if_changed(workspace: &Workspace, source: &Path, destination: &PathBuf) -> Result<(), Failure> {
    let content = fs::read(source).map_err(Failure::io(format_args!("read {}", source.display())))?;
    if fs::read(destination).is_ok_and(|existing| existing == content) {
        return Ok(());
    }
    if let Some(folder) = destination.parent() {
        create_folder(folder)?;
    }
    // Written beside and renamed: a server that reads the file now sees the old or the new one, never a half.
    let partial = destination.with_extension("wasm.partial");
    fs::write(&partial, &content).map_err(Failure::io(format_args!("write {}", partial.display())))?;
    fs::rename(&partial, destination).map_err(Failure::io(format_args!("place {}", destination.display())))?;
    println!("    {} ({} KiB)", workspace.show(destination), content.len().div_ceil(1024));
    Ok(())
}
