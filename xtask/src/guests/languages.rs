//! Guests in languages other than Rust: a folder in, a component out.
//!
//! `tests/guests/contract/LANGUAGE` is the contract test's plugin in each language; a compiler per language is one line of
//! [`LANGUAGES`]. A component that is younger than everything it is made from is left alone, because Python takes twenty
//! seconds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use crate::{
    command::{announce, run_with_heartbeat},
    failure::Failure,
    guests::place,
    setup::{self, Component, plugin_javascript, plugin_python},
    workspace::{Workspace, create_folder, list_folder},
};

/// A language, what compiles it, and how.
struct Language {
    name: &'static str,
    compiler: &'static Component,
    build: fn(&Workspace, &Path, &Path) -> Result<(), Failure>,
}

const LANGUAGES: [Language; 2] = [
    Language { name: "python", compiler: &setup::PLUGIN_PYTHON, build: build_python },
    Language { name: "javascript", compiler: &setup::PLUGIN_JAVASCRIPT, build: build_javascript },
];

/// The folder of the plugins that the contract test runs.
const CONTRACT: &str = "tests/guests/contract";

/// Builds the contract test's plugin in every language.
pub(super) fn build(workspace: &Workspace, target_folder: &Path) -> Result<(), Failure> {
    LANGUAGES.iter().try_for_each(|language| {
        let source = workspace.path(CONTRACT).join(language.name);
        let component = target_folder.join(format!("contract_{}.wasm", language.name));
        let sdk = workspace.path("sdk").join(language.name);
        if is_younger(&component, &[source.clone(), sdk, workspace.path("wit")])? {
            return Ok(());
        }
        setup::ensure(workspace, &[language.compiler])?;
        announce(format_args!("building {} from {}", workspace.show(&component), workspace.show(&source)));
        let fresh = component.with_extension("wasm.fresh");
        (language.build)(workspace, &source, &fresh)?;
        place(workspace, &fresh, &component)
    })
}

/// A plugin whose module is `plugin.py`.
fn build_python(workspace: &Workspace, source: &Path, component: &Path) -> Result<(), Failure> {
    let mut command = Command::new(plugin_python::program(workspace));
    command.arg("--quiet").arg("--wit-path").arg(workspace.path("wit")).args(["--world", "transform-plugin"]);
    command.arg("componentize").arg("--python-path").arg(source);
    command.arg("--python-path").arg(workspace.path("sdk/python"));
    command.arg("nereid_plugin").arg("--output").arg(component);
    // An environment of the developer's must not reach the plugin.
    run_with_heartbeat(command.env_remove("VIRTUAL_ENV").env_remove("PYTHONPATH"))
}

/// A plugin whose module is `plugin.js`. The compiler sees one folder, so that plugin and SDK are copied into it as npm would.
fn build_javascript(workspace: &Workspace, source: &Path, component: &Path) -> Result<(), Failure> {
    let stage = workspace.scratch("javascript")?;
    copy_files(source, &stage)?;
    copy_files(&workspace.path("sdk/javascript"), &stage.join("node_modules/nereid"))?;
    let mut command = plugin_javascript::compiler(workspace)?;
    command.arg("--wit").arg(workspace.path("wit")).args(["--world", "transform-plugin", "--sync"]);
    command.args(["--js", "plugin.js", "--module-root", ".", "--output"]).arg(component);
    run_with_heartbeat(command.current_dir(&stage))
}

/// Copies the files of a folder, without its folders.
fn copy_files(from: &Path, to: &Path) -> Result<(), Failure> {
    create_folder(to)?;
    for path in list_folder(from)?.into_iter().filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, to.join(name)).map_err(Failure::io(format_args!("copy {}", path.display())))?;
    }
    Ok(())
}

/// Whether `file` is there and younger than every file below the folders.
fn is_younger(file: &Path, folders: &[PathBuf]) -> Result<bool, Failure> {
    let Some(made) = modified(file) else { return Ok(false) };
    for folder in folders {
        if newest(folder)? >= made {
            return Ok(false);
        }
    }
    Ok(true)
}

fn newest(folder: &Path) -> Result<SystemTime, Failure> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for path in list_folder(folder)? {
        let is_made = path.file_name().is_some_and(|name| name == "__pycache__" || name == "node_modules");
        let time = match path.is_dir() {
            true if is_made => continue,
            true => self::newest(&path)?,
            false => modified(&path).unwrap_or(SystemTime::UNIX_EPOCH),
        };
        newest = newest.max(time);
    }
    Ok(newest)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
