//! What travels inside the program: the SDKs with their templates, and the contract.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{WorkshopError, language::Language, world::World};

/// Path from the repository's root, and text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/kit.rs"));

/// The exact crates that the SDK of Rust is tested with; cargo drops those that a plugin has no use for.
const CARGO_LOCK: &str = include_str!("../../../plugins/Cargo.lock");

/// The manifest that the SDK of Rust has outside this repository, whose workspace it belongs to.
const SDK_MANIFEST: &str = "sdk.toml";

/// All that a template which is no model has of that of models.
const CARGO_MANIFEST: &str = "Cargo.toml";

/// The name that the templates give to their model.
const TEMPLATE_NAME: &str = "double";

/// The shape that the templates' README asks with, and what it is where the first dimension is the batch.
const ROW_SHAPE: &str = r#""shape":[3]"#;
const BATCH_SHAPE: &str = r#""shape":[1,3]"#;

/// Files of a template in which the model's name stands.
const NAMING_FILES: [&str; 4] = ["README.md", "Cargo.toml", "package.json", "go.mod"];

/// A file of a folder that is begun: where, and what.
pub(crate) type File = (PathBuf, String);

/// Every file of a new plugin's folder.
pub(crate) fn plugin(language: Language, world: World, name: &str) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    let named = |path: &str, text: &str| match NAMING_FILES.contains(&path) {
        true => text.replace(TEMPLATE_NAME, name),
        false => text.to_owned(),
    };
    // That of the smallest world has no folder of its own.
    let overlay = format!("sdk/{}/template_{}/", language.name(), world.name());
    files.extend(below(&overlay).map(|(path, text)| (path.into(), named(path, text))));
    for (path, text) in below(&format!("sdk/{}/template/", language.name())) {
        let is_replaced = files.iter().any(|(there, _)| there == Path::new(path));
        let is_of_models = world.is_no_model() && path != CARGO_MANIFEST;
        if !is_replaced && !is_of_models && path != SDK_MANIFEST {
            let text = named(path, text);
            // Tensors of a model that batches have the batch in front.
            let text = if world.batches() { text.replace(ROW_SHAPE, BATCH_SHAPE) } else { text };
            files.push((path.into(), text));
        }
    }
    if language == Language::Rust {
        files.push(("Cargo.lock".into(), CARGO_LOCK.to_owned()));
    }
    files.push((".gitignore".into(), "/1/\n/agent.wasm\n/target/\n__pycache__/\nnode_modules/\n".to_owned()));
    files.extend(sdk(language));
    files
}

/// The SDK of a language and the contract, as they lie in a plugin's folder.
pub(crate) fn sdk(language: Language) -> Vec<File> {
    let folder = format!("sdk/{}/", language.name());
    let manifest = text_of(&format!("{folder}template/{SDK_MANIFEST}"));
    let sources = below(&folder).filter(|(path, _)| !path.starts_with("template"));
    let sources = sources.map(|(path, text)| match (path, manifest) {
        ("Cargo.toml", Some(manifest)) => (format!("{folder}{path}").into(), manifest.to_owned()),
        _ => (format!("{folder}{path}").into(), text.to_owned()),
    });
    let contract = below("wit/").map(|(path, text)| (format!("wit/{path}").into(), text.to_owned()));
    sources.chain(contract).collect()
}

/// Writes files into a folder; none of them may be there.
///
/// # Errors
/// One is there, or cannot be written.
pub(crate) fn write(folder: &Path, files: &[File]) -> Result<(), WorkshopError> {
    for (path, text) in files {
        let path = folder.join(path);
        let failed = |source| WorkshopError::Write { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = fs::File::create_new(&path).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter_map(move |(path, text)| Some((path.strip_prefix(folder)?, *text)))
}

fn text_of(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(there, _)| *there == path).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[File]) -> Vec<String> {
        files.iter().map(|(path, _)| path.display().to_string()).collect()
    }

    fn text(files: &[File], name: &str) -> String {
        files.iter().find(|(path, _)| path == Path::new(name)).unwrap().1.clone()
    }

    #[test]
    fn a_folder_has_what_its_readme_says_and_each_file_once() {
        for (language, world, source, sdk) in [
            (Language::Rust, World::Transform, "src/lib.rs", "sdk/rust/src/lib.rs"),
            (Language::Rust, World::Model, "src/lib.rs", "sdk/rust/src/tensor/element.rs"),
            (Language::Python, World::Transform, "plugin.py", "sdk/python/nereid/__init__.py"),
            (Language::Python, World::Model, "plugin.py", "sdk/python/nereid/batches.py"),
            (Language::JavaScript, World::Transform, "plugin.js", "sdk/javascript/index.js"),
            (Language::JavaScript, World::Model, "plugin.js", "sdk/javascript/operations.js"),
            (Language::C, World::Transform, "plugin.c", "sdk/c/nereid.h"),
            (Language::C, World::Model, "plugin.c", "sdk/c/tensor.c"),
            (Language::Go, World::Transform, "plugin.go", "sdk/go/tensor.go"),
            (Language::Go, World::Model, "go.mod", "sdk/go/internal/wit/runtime/memory.go"),
        ] {
            let mut found = names(&plugin(language, world, "thing"));
            for name in ["config.pbtxt", "plugin.toml", "README.md", "wit/worlds.wit", source, sdk] {
                assert!(found.iter().any(|there| there == name), "{language:?}: {name} in {found:?}");
            }
            assert!(!found.iter().any(|name| name.contains("template") || name.contains("compiler")), "{found:?}");
            let count = found.len();
            found.sort();
            found.dedup();
            assert_eq!(found.len(), count);
        }
    }

    #[test]
    fn the_model_has_the_name_that_was_given() {
        let files = plugin(Language::Rust, World::Transform, "thing-2");
        assert!(text(&files, "Cargo.toml").contains("name = \"thing-2\""));
        let readme = text(&files, "README.md");
        assert!(readme.contains("/v2/models/thing-2/infer") && !readme.contains(TEMPLATE_NAME), "{readme}");
    }

    #[test]
    fn a_world_of_its_own_has_sources_of_its_own() {
        for (language, source, transform, model) in [
            (Language::Rust, "src/lib.rs", "export_transform!", "export_model!"),
            (Language::Python, "plugin.py", "nereid.Transform", "nereid.Model"),
            (Language::JavaScript, "plugin.js", "export const transform", "export const model"),
            (Language::C, "plugin.c", "nereid_run", "nereid_answer"),
            (Language::Go, "plugin.go", "nereid.ExportTransform", "nereid.ExportModel"),
        ] {
            let files = |world| plugin(language, world, "thing");
            assert!(text(&files(World::Transform), source).contains(transform));
            assert!(text(&files(World::Model), source).contains(model));
            assert!(text(&files(World::Model), "config.pbtxt").contains("max_batch_size: 8"));
            assert!(text(&files(World::Model), "README.md").contains(BATCH_SHAPE));
            assert!(text(&files(World::Transform), "README.md").contains(ROW_SHAPE));
        }
    }

    #[test]
    fn what_awaits_is_a_model_of_batches() {
        let files = plugin(Language::Rust, World::AsyncModel, "thing");
        assert!(text(&files, "src/lib.rs").contains("export_async_model!"));
        assert!(text(&files, "config.pbtxt").contains("max_batch_size: 8"));
        assert!(text(&files, "README.md").contains(BATCH_SHAPE));
        let own = names(&files).into_iter().filter(|name| name.starts_with("tests/"));
        assert_eq!(own.collect::<Vec<_>>(), ["tests/doubles.json"]);
        assert!(names(&files).contains(&"wit/async/model.wit".to_owned()));
    }

    #[test]
    fn what_is_no_model_has_no_cases_of_one() {
        for (world, expected) in [
            (World::Agent, ["Cargo.toml", "README.md", "plugin.toml", "src/lib.rs"].as_slice()),
            (World::Batching, &["Cargo.toml", "README.md", "batchstrategy.toml", "config.pbtxt", "src/lib.rs"]),
        ] {
            let files = plugin(Language::Rust, world, "thing");
            let own = names(&files).into_iter().filter(|name| !name.starts_with("sdk/") && !name.starts_with("wit/"));
            let mut own: Vec<String> = own.filter(|name| name != "Cargo.lock" && name != ".gitignore").collect();
            own.sort();
            assert_eq!(own, expected);
            assert!(text(&files, "Cargo.toml").contains("name = \"thing\""));
            assert!(text(&files, "README.md").starts_with("# thing: a"));
        }
    }

    #[test]
    fn the_sdk_of_rust_stands_alone_with_the_versions_that_it_has_here() {
        let files = sdk(Language::Rust);
        let manifest = text(&files, "sdk/rust/Cargo.toml");
        assert!(!manifest.contains("workspace"), "{manifest}");
        let here = include_str!("../../../plugins/Cargo.toml");
        for line in manifest
            .lines()
            .filter(|line| ["wit-bindgen", "futures-util", "rust-version"].iter().any(|name| line.starts_with(name)))
        {
            assert!(here.contains(line), "plugins/Cargo.toml lacks {line}");
        }
    }
}
