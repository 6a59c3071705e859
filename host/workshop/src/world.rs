//! What a plugin is built as, and how its sources say so.
//!
//! Rust's macros choose by themselves. The compilers of other languages must be told, and nobody but the author knows: their source
//! is searched for the word that makes a plugin one of whole batches. What is found is checked by the SDK when the component is
//! made, so that a mistake is a failed build and never another plugin.

use std::{fs, path::Path, str::FromStr};

use nereid_plugin::PluginKind;

use crate::{WorkshopError, language::Language};

/// One of the contract's, by the word that commands take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Transform,
    Model,
    /// The whole life of a model.
    FullModel,
    /// Whole batches, in functions that await.
    AsyncModel,
    Agent,
    Batching,
}

/// Folders of a plugin that no source of its own lies in.
const NEVER_SOURCE: [&str; 6] = ["sdk", "wit", "tests", "target", "node_modules", "__pycache__"];

/// What the sources in `folder` want to be.
///
/// # Errors
/// One cannot be read.
pub(crate) fn of_folder(folder: &Path, language: Language) -> Result<World, WorkshopError> {
    if language == Language::Rust {
        return rust_world(folder);
    }
    for world in [World::FullModel, World::Model] {
        let is_found = match language {
            Language::JavaScript => exports(&read(&folder.join(language.telling_file()))?, world),
            Language::C => any_source(folder, "c", &|source| defines(source, world))?,
            Language::Go => any_source(folder, "go", &|source| calls_export(source, world))?,
            _ => any_source(folder, "py", &|source| names_class(source, world))?,
        };
        if is_found {
            return Ok(world);
        }
    }
    Ok(World::Transform)
}

/// Of the macros that make a component, those for what is no model are looked for: it lies elsewhere.
fn rust_world(folder: &Path) -> Result<World, WorkshopError> {
    let calls = |name: &'static str| move |source: &str| source.lines().any(|line| line.trim_start().starts_with(name));
    if any_source(folder, "rs", &calls("export_agent!"))? {
        return Ok(World::Agent);
    }
    let forms_batches = any_source(folder, "rs", &calls("export_batching!"))?;
    Ok(if forms_batches { World::Batching } else { World::Transform })
}

/// Whether a source file says it; those in folders of the plugin's own too.
fn any_source(folder: &Path, extension: &str, says: &dyn Fn(&str) -> bool) -> Result<bool, WorkshopError> {
    let failed = |source| WorkshopError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let found = match path.is_dir() {
            true => !name.starts_with('.') && !NEVER_SOURCE.contains(&name) && any_source(&path, extension, says)?,
            false => path.extension().is_some_and(|found| found == extension) && says(&read(&path)?),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read(path: &Path) -> Result<String, WorkshopError> {
    fs::read_to_string(path).map_err(|source| WorkshopError::Read { path: path.to_owned(), source })
}

/// Python: `nereid.Model` or `nereid.FullModel`, or the class imported from there.
fn names_class(source: &str, world: World) -> bool {
    let (class, qualified) = match world {
        World::FullModel => ("FullModel", "nereid.FullModel"),
        _ => ("Model", "nereid.Model"),
    };
    source.lines().any(|line| {
        let code = line.split('#').next().unwrap_or_default();
        has_word(code, qualified) || (code.contains("nereid") && code.contains("import") && has_word(code, class))
    })
}

/// JavaScript: something is exported under the name `model`, or `completion`, which only full models have.
fn exports(source: &str, world: World) -> bool {
    let name = if world == World::FullModel { "completion" } else { "model" };
    source.lines().any(|line| {
        let Some(exported) = line.strip_prefix("export ") else { return false };
        has_word(exported.split('=').next().unwrap_or_default(), name)
    })
}

/// C: the function that answers one request of a batch, or one that only full models have.
fn defines(source: &str, world: World) -> bool {
    let functions: &[(&str, &str)] = match world {
        World::FullModel => &[("bool", "nereid_complete"), ("bool", "nereid_is_ready"), ("void", "nereid_drain")],
        _ => &[("nereid_outcome", "nereid_answer")],
    };
    let begins = |line: &str| functions.iter().any(|(gives, name)| line.starts_with(gives) && has_word(line, name));
    source.lines().any(begins)
}

/// Go: the function that makes the program a plugin of whole batches is called.
fn calls_export(source: &str, world: World) -> bool {
    let function = if world == World::FullModel { "nereid.ExportFullModel" } else { "nereid.ExportModel" };
    source.lines().any(|line| has_word(line.split("//").next().unwrap_or_default(), function))
}

/// Whether `word` stands in the code and goes on neither way.
fn has_word(code: &str, word: &str) -> bool {
    let is_inner = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code.get(..start).unwrap_or_default();
        let after = code.get(start + word.len()..).unwrap_or_default();
        !before.ends_with(|letter| is_inner(letter) || letter == '.') && !after.starts_with(is_inner)
    })
}

// === impl World ===

impl World {
    /// Its name in the contract.
    pub(crate) fn in_contract(self) -> &'static str {
        match self {
            Self::Transform => PluginKind::Transform.world(),
            Self::Model => PluginKind::Model.world(),
            Self::FullModel => "full-model-plugin",
            Self::AsyncModel => PluginKind::AsyncModel.world(),
            Self::Agent => PluginKind::Agent.world(),
            Self::Batching => PluginKind::Batching.world(),
        }
    }

    /// The word that commands take, and the end of the name of its template's folder; a full model begins as a model.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Model | Self::FullModel => "model",
            Self::AsyncModel => "async",
            Self::Agent => "agent",
            Self::Batching => "batching",
        }
    }

    /// Whether the SDKs of other languages cannot build it.
    pub(crate) fn is_for_rust_alone(self) -> bool {
        matches!(self, Self::AsyncModel | Self::Agent | Self::Batching)
    }

    /// Whether requests are answered by something else.
    pub(crate) fn is_no_model(self) -> bool {
        matches!(self, Self::Agent | Self::Batching)
    }

    /// Whether tensors have the batch in front in its template.
    pub(crate) fn batches(self) -> bool {
        matches!(self, Self::Model | Self::FullModel | Self::AsyncModel)
    }

    /// Where a server looks for the component, in the plugin's folder.
    pub fn component(self) -> &'static str {
        match self {
            Self::Transform | Self::Model | Self::FullModel | Self::AsyncModel => "1/model.wasm",
            Self::Agent => "agent.wasm",
            Self::Batching => "1/batchstrategy.wasm",
        }
    }
}

impl FromStr for World {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "transform" => Ok(Self::Transform),
            "model" => Ok(Self::Model),
            "async" => Ok(Self::AsyncModel),
            "agent" => Ok(Self::Agent),
            "batching" => Ok(Self::Batching),
            _ => Err(
                "expected 'transform' (a function for each request), 'model' (whole batches), 'async' (whole batches, several models \
                 awaited at once), 'agent' (asked when models are loaded) or 'batching' (says which requests share a batch)"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(language: Language, files: &[(&str, &str)], expected: World) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(of_folder(folder.path(), language).unwrap(), expected, "{files:?}");
    }

    #[test]
    fn python_says_it_with_a_class() {
        let model = |text: &str| check(Language::Python, &[("plugin.py", text)], World::Model);
        model("import nereid\nclass X(nereid.Model):\n    pass\n");
        model("from nereid import Model, Tensor\n");
        let transform = |text: &str| check(Language::Python, &[("plugin.py", text)], World::Transform);
        transform("import nereid\nclass X(nereid.Transform):\n    info: nereid.ModelInfo\n");
        transform("# unlike a nereid.Model\n@nereid.transform\ndef run(request, inputs): pass\n");
        let full = |text: &str| check(Language::Python, &[("plugin.py", text)], World::FullModel);
        full("import nereid\nclass X(nereid.FullModel):\n    pass\n");
        full("from nereid import FullModel, Model\n");
    }

    #[test]
    fn python_says_it_in_modules_of_its_own_and_the_sdk_does_not_count() {
        check(
            Language::Python,
            &[("plugin.py", "import parts.double"), ("parts/double.py", "class X(nereid.Model): pass")],
            World::Model,
        );
        check(
            Language::Python,
            &[("plugin.py", "import nereid"), ("sdk/python/nereid/x.py", "class Echo(nereid.Model): pass")],
            World::Transform,
        );
    }

    #[test]
    fn rust_says_what_is_no_model_with_its_macro() {
        let check = |text: &str, expected| {
            check(
                Language::Rust,
                &[("Cargo.toml", ""), ("src/lib.rs", text), ("sdk/rust/src/x.rs", "export_agent!(X);")],
                expected,
            );
        };
        check("struct X;\nexport_agent!(X);\n", World::Agent);
        check("export_batching!(X);\n", World::Batching);
        check("export_model!(X);\n", World::Transform);
        check("// export_agent!(X) would make an agent\n", World::Transform);
    }

    #[test]
    fn c_says_it_with_the_function_that_it_defines() {
        let check =
            |text: &str, expected| check(Language::C, &[("plugin.c", "#include <nereid.h>"), ("x.c", text)], expected);
        check("nereid_outcome nereid_answer(nereid_request *request, nereid_response *response) {", World::Model);
        check("bool nereid_run(nereid_request *request, nereid_response *response) {", World::Transform);
        check("/* A nereid_answer would see batches. */", World::Transform);
        let answer = "nereid_outcome nereid_answer(nereid_request *request, nereid_response *response) {";
        check(&format!("{answer}\n}}\nvoid nereid_drain(void) {{"), World::FullModel);
        check(&format!("{answer}\n    nereid_drain();"), World::Model);
    }

    #[test]
    fn go_says_it_with_the_function_that_it_calls() {
        let check =
            |text: &str, expected| check(Language::Go, &[("plugin.go", "package main"), ("more.go", text)], expected);
        check("func init() { nereid.ExportModel(newDouble) }", World::Model);
        check("func init() {\n\tnereid.ExportTransform(newDouble)\n}", World::Transform);
        check("// nereid.ExportModel would see batches.", World::Transform);
        check("func init() { nereid.ExportFullModel(newDouble, complete) }", World::FullModel);
    }

    #[test]
    fn javascript_says_it_with_the_name_of_its_export() {
        let model = |text: &str| check(Language::JavaScript, &[("plugin.js", text)], World::Model);
        model("export const model = batches(Double);");
        model("const x = batches(Double);\nexport { x as model };");
        let full = |text: &str| check(Language::JavaScript, &[("plugin.js", text)], World::FullModel);
        full("export const { model, completion, readiness, draining } = fullModel(Double);");
        let transform = |text: &str| check(Language::JavaScript, &[("plugin.js", text)], World::Transform);
        transform("import { model } from \"nereid\";\nexport const transform = plugin(() => model);");
        transform("export const transform = plugin(model);");
    }
}
