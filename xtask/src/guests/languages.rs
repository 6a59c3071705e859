//! Guests in languages other than Rust: a folder in, a component out.
//!
//! `tests/guests/contract/LANGUAGE` is the contract test's plugin in each language, `contract_model/LANGUAGE` that of whole batches,
//! `contract_full/LANGUAGE` that with the whole life of a model; a compiler per language is one line of [`LANGUAGES`], a plugin of an
//! example one of [`PLUGINS`]. A component that is younger than everything it is made from is left alone, because Python takes twenty
//! seconds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use nereid_toolchains::{Sources, javascript, python};

use crate::{
    command::{announce, cargo, run},
    failure::Failure,
    guests::{copy_if_changed, place},
    setup::{self, Component},
    workspace::{Workspace, list_folder},
};

/// A language, what compiles it, and how.
struct Language {
    name: &'static str,
    compiler: &'static Component,
    build: fn(&Workspace, &Sources<'_>, &Path) -> Result<(), Failure>,
}

const LANGUAGES: [Language; 4] = [
    Language {
        name: "python",
        compiler: &setup::PLUGIN_PYTHON,
        build: |workspace, sources, component| python::componentize(&workspace.home(), sources, component),
    },
    Language {
        name: "javascript",
        compiler: &setup::PLUGIN_JAVASCRIPT,
        build: |workspace, sources, component| javascript::componentize(&workspace.home(), sources, component),
    },
    Language {
        name: "c",
        compiler: &setup::PLUGIN_C,
        build: |workspace, sources, component| componentize(workspace, "c", sources, component),
    },
    Language {
        name: "go",
        compiler: &setup::PLUGIN_GO,
        build: |workspace, sources, component| componentize(workspace, "go", sources, component),
    },
];

/// The plugins that the contract tests run: the folder below `tests/guests`, and the world.
const CONTRACTS: [(&str, &str); 3] =
    [("contract", "transform-plugin"), ("contract_model", "model-plugin"), ("contract_full", "full-model-plugin")];

/// Plugins of examples: their language, their folder below `plugins`, and where their component is served from.
const PLUGINS: [(&str, &str, &str); 3] = [
    ("python", "record_features", "examples/tabular/model_repository/features/1/model.wasm"),
    ("javascript", "moderation", "examples/moderation/model_repository/moderation/1/model.wasm"),
    ("javascript", "chat_prompt", "examples/streaming/model_repository/chat_prompt/1/model.wasm"),
];

/// Builds the contract tests' plugins in every language, and the examples' plugins.
pub(super) fn build(workspace: &Workspace, target_folder: &Path) -> Result<(), Failure> {
    for language in &LANGUAGES {
        for (folder, world) in CONTRACTS {
            let component = target_folder.join(format!("{folder}_{}.wasm", language.name));
            let plugin = workspace.path("tests/guests").join(folder).join(language.name);
            build_one(workspace, language, (&plugin, world), &component)?;
        }
        for (_, folder, destination) in PLUGINS.iter().filter(|(name, ..)| *name == language.name) {
            let component = target_folder.join(format!("{folder}.wasm"));
            build_one(workspace, language, (&workspace.path("plugins").join(folder), "transform-plugin"), &component)?;
            copy_if_changed(workspace, &component, &workspace.path(destination))?;
        }
    }
    Ok(())
}

/// Makes `component` of a plugin for a world, unless it is younger than all that it is made from.
fn build_one(
    workspace: &Workspace,
    language: &Language,
    (plugin, world): (&Path, &str),
    component: &Path,
) -> Result<(), Failure> {
    let (sdk, wit) = (workspace.path("sdk").join(language.name), workspace.path("wit"));
    if is_younger(component, &[plugin.to_owned(), sdk.clone(), wit.clone()])? {
        return Ok(());
    }
    setup::ensure(workspace, &[language.compiler])?;
    announce(format_args!("building {} from {}", workspace.show(component), workspace.show(plugin)));
    let fresh = component.with_extension("wasm.fresh");
    (language.build)(workspace, &Sources { plugin, sdk: &sdk, wit: &wit, world }, &fresh)?;
    place(workspace, &fresh, component)
}

/// With a program of the workspace, because what makes bindings and components is much to compile, and xtask is nothing. It is
/// compiled with the features that everything has, so that nothing is compiled twice.
fn componentize(workspace: &Workspace, language: &str, sources: &Sources<'_>, component: &Path) -> Result<(), Failure> {
    let mut build = cargo(workspace.root());
    run(build.args(["build", "--workspace", "--bin", "nereid-componentize", "--test", "tidy"]))?;
    let mut program = Command::new(workspace.path("target/debug/nereid-componentize"));
    program.arg(language).arg(workspace.home().folder()).arg(sources.plugin).arg(sources.sdk).arg(sources.wit);
    run(program.arg(sources.world).arg(component))
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
