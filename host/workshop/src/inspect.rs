//! `nereid plugin inspect`: what a component is, and where it does not fit the contract.

use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use nereid_plugin::{CONTRACT_VERSION, ImportedInterface, Inspection, Language, Need};
use serde_json::{Value, json};

use crate::{WorkshopError, sandbox, units};

/// Width of the words on the left.
const LABEL_WIDTH: usize = 10;

/// Functions of an interface that are listed by name; the document for programs has all.
const NAMES_SHOWN_MAX: usize = 10;

/// A component that was looked at.
#[derive(Clone, Debug)]
pub struct Report {
    file: String,
    inspection: Inspection,
}

/// Looks at a component. May compile it, which takes seconds; blocks.
///
/// # Errors
/// The file cannot be read, or is no component.
pub fn inspect(file: &Path, cache_directory: Option<&Path>) -> Result<Report, WorkshopError> {
    let bytes = fs::read(file).map_err(|source| WorkshopError::Read { path: file.to_owned(), source })?;
    let origin = file.display().to_string();
    let inspection = sandbox::engine(cache_directory)?.inspect(&origin, &bytes)?;
    Ok(Report { file: origin, inspection })
}

// === impl Report ===

impl Report {
    /// Whether a server of this version would take it.
    pub fn fits(&self) -> bool {
        self.inspection.misfits.is_empty()
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        let found = &self.inspection;
        let imports = found.imports.iter().map(|import| {
            json!({
                "name": import.name,
                "purpose": import.purpose,
                "functions": import.functions,
                "misfit": import.misfit,
            })
        });
        let needs = found.needs.iter().map(|need| {
            json!({
                "key": need.key,
                "example": need.example,
                "what": need.what,
                "required": need.is_required,
                "imports": need.imports,
            })
        });
        let makers = found.makers.iter().map(|maker| json!({ "name": maker.name, "version": maker.version }));
        json!({
            "file": self.file,
            "contract": CONTRACT_VERSION,
            "fits": self.fits(),
            "misfits": found.misfits,
            "world": found.world(),
            "language": found.language.map(Language::title),
            "makers": makers.collect::<Vec<Value>>(),
            "imports": imports.collect::<Vec<Value>>(),
            "grants": needs.collect::<Vec<Value>>(),
            "exports": found.exports,
            "component_bytes": found.component_bytes,
            "code_bytes": found.code_bytes,
        })
    }

    fn made_with(&self) -> String {
        let makers = self.inspection.makers.iter().map(|maker| {
            // What follows the number is about how the compiler itself was made.
            let version = maker.version.split(' ').next().unwrap_or_default();
            format!("{} {version}", maker.name).trim_end().to_owned()
        });
        let makers: Vec<String> = makers.collect();
        let language = self.inspection.language.map_or("not known", Language::title);
        if makers.is_empty() { language.to_owned() } else { format!("{language} ({})", makers.join(", ")) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.inspection;
        let world = match found.world() {
            Some(world) => format!("a plugin for the world {world} of nereid:plugin@{CONTRACT_VERSION}"),
            None => "a component, and no plugin".to_owned(),
        };
        writeln!(f, "{}: {world}", self.file)?;
        let size = format!("{}, {} compiled", units::bytes(found.component_bytes), units::bytes(found.code_bytes));
        for (label, text) in [("language", self.made_with()), ("size", size)] {
            writeln!(f, "  {label:LABEL_WIDTH$}{text}")?;
        }
        write_list(f, "exports", &found.exports)?;
        write_list(f, "imports", &import_lines(&found.imports))?;
        write_list(f, "grants", &grant_lines(&found.needs))?;
        if self.fits() {
            return writeln!(f, "It fits this server.");
        }
        writeln!(f, "It does not fit this server:")?;
        found.misfits.iter().try_for_each(|misfit| writeln!(f, "  - {}", misfit.replace('\n', "\n    ")))
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, label: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return writeln!(f, "  {label:LABEL_WIDTH$}nothing");
    }
    let mut label = label;
    for line in lines.iter().flat_map(|lines| lines.lines()) {
        writeln!(f, "  {label:LABEL_WIDTH$}{line}")?;
        label = "";
    }
    Ok(())
}

/// Interfaces of the contract with what each is for and what is used of it; of other packages, one line for each.
fn import_lines(imports: &[ImportedInterface]) -> Vec<String> {
    let (own, foreign): (Vec<_>, Vec<_>) =
        imports.iter().partition(|import| import.name.starts_with("nereid:plugin/") && import.misfit.is_none());
    let mut packages: Vec<(String, Vec<&str>)> = Vec::new();
    for import in foreign {
        let (package, interface) = import.name.split_once('/').unwrap_or((&import.name, ""));
        let (interface, version) = interface.split_once('@').unwrap_or((interface, ""));
        let purpose = import.purpose.unwrap_or("unknown to this server");
        let head = format!("{package} {version}: {purpose}");
        match packages.iter_mut().find(|(known, _)| *known == head) {
            Some((_, interfaces)) => interfaces.push(interface),
            None => packages.push((head, vec![interface])),
        }
    }
    let own = own.into_iter().map(|import| {
        let functions: Vec<&str> = import.functions.iter().map(|name| plain(name)).collect();
        with_list(format!("{}: {}", import.name, import.purpose.unwrap_or_default()), &functions)
    });
    own.chain(packages.into_iter().map(|(head, interfaces)| with_list(head, &interfaces))).collect()
}

/// What `plugin.toml` may have to say, line by line; nothing for a plugin that stays within itself.
fn grant_lines(needs: &[Need]) -> Vec<String> {
    if needs.is_empty() {
        return Vec::new();
    }
    let width = needs.iter().map(|need| need.example.len()).max().unwrap_or_default();
    let line = |need: &Need| {
        let required = if need.is_required { "; without it the plugin is not loaded" } else { "" };
        format!("{:width$}  # {}{required}", need.example, need.what)
    };
    let head = "[grants]  # in plugin.toml; of these, what it really uses".to_owned();
    std::iter::once(head).chain(needs.iter().map(line)).collect()
}

/// The head, and below it the names, of many only the first.
fn with_list(mut head: String, names: &[&str]) -> String {
    let shown = names.get(..NAMES_SHOWN_MAX).unwrap_or(names);
    if !shown.is_empty() {
        let _ = write!(head, "\n  {}", shown.join(" "));
    }
    if names.len() > shown.len() {
        let _ = write!(head, " … {} more", names.len() - shown.len());
    }
    head
}

/// `tensor.read` of `[method]tensor.read`.
fn plain(function: &str) -> &str {
    function.split_once(']').map_or(function, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use nereid_plugin::{Maker, PluginKind};

    use super::*;

    fn report() -> Report {
        let import = ImportedInterface {
            name: "nereid:plugin/tensors@1.0.0".to_owned(),
            purpose: Some("tensors"),
            functions: vec!["[method]tensor.read".to_owned(), "[static]tensor.create".to_owned()],
            misfit: None,
        };
        Report {
            file: "a.wasm".to_owned(),
            inspection: Inspection {
                kind: Some(PluginKind::Transform),
                imports: vec![import],
                needs: vec![],
                exports: vec!["nereid:plugin/transform@1.0.0".to_owned()],
                misfits: vec![],
                language: Some(Language::Rust),
                makers: vec![Maker { name: "rustc".to_owned(), version: "1.96.0 (x)".to_owned() }],
                component_bytes: 2048,
                code_bytes: 1 << 20,
            },
        }
    }

    #[test]
    fn a_plugin_is_told_from_top_to_bottom() {
        let expected = "\
a.wasm: a plugin for the world transform-plugin of nereid:plugin@1.0.0
  language  Rust (rustc 1.96.0)
  size      2 KiB, 1.0 MiB compiled
  exports   nereid:plugin/transform@1.0.0
  imports   nereid:plugin/tensors@1.0.0: tensors
              tensor.read tensor.create
  grants    nothing
It fits this server.
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn what_may_have_to_be_granted_stands_as_plugin_toml_has_it() {
        let need = |key, example, is_required| Need { key, example, what: "some", is_required, imports: vec![] };
        let needs = [need("models", "models = []", false), need("http", "http = [1]", true)];
        let expected = [
            "[grants]  # in plugin.toml; of these, what it really uses",
            "models = []  # some",
            "http = [1]   # some; without it the plugin is not loaded",
        ];
        assert_eq!(grant_lines(&needs), expected);
    }

    #[test]
    fn a_language_s_runtime_is_a_line_for_each_package() {
        let import = |name: &str| ImportedInterface {
            name: name.to_owned(),
            purpose: Some("the time"),
            functions: vec!["now".to_owned()],
            misfit: None,
        };
        let imports = ["wasi:clocks/wall-clock@0.2.12", "wasi:io/poll@0.2.12", "wasi:clocks/monotonic-clock@0.2.12"];
        let lines = import_lines(&imports.map(import));
        assert_eq!(
            lines,
            ["wasi:clocks 0.2.12: the time\n  wall-clock monotonic-clock", "wasi:io 0.2.12: the time\n  poll"]
        );
        let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(with_list("x".to_owned(), &names), "x\n  0 1 2 3 4 5 6 7 8 9 … 2 more");
    }

    #[test]
    fn what_does_not_fit_stands_last_with_every_line_of_it() {
        let mut report = report();
        report.inspection.kind = None;
        report.inspection.imports.clear();
        report.inspection.misfits = vec!["one\ntwo".to_owned(), "three".to_owned()];
        let text = report.to_string();
        assert!(
            text.contains("a.wasm: a component, and no plugin\n") && text.contains("  imports   nothing\n"),
            "{text}"
        );
        assert!(text.ends_with("It does not fit this server:\n  - one\n    two\n  - three\n"), "{text}");
        assert_eq!((&report.to_json()["fits"], &report.to_json()["world"]), (&json!(false), &Value::Null));
    }
}
