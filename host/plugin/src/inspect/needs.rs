//! What a plugin has to ask for in `plugin.toml` to use what it imports.
//!
//! An import does not say that a plugin calls it: runtimes of scripts import all of the contract. So this is what may be needed; the
//! one thing without which a component is not loaded is marked.

use super::ImportedInterface;

/// One line of `[grants]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// In `plugin.toml`.
    pub key: &'static str,
    /// A line as it may stand there.
    pub example: &'static str,
    /// What is granted.
    pub what: &'static str,
    /// Whether the component is refused without it.
    pub is_required: bool,
    /// The interfaces that bring it about.
    pub imports: Vec<String>,
}

struct Rule {
    key: &'static str,
    example: &'static str,
    what: &'static str,
    is_required: bool,
    /// Names of interfaces with their packages, without versions.
    interfaces: &'static [&'static str],
}

const RULES: [Rule; 7] = [
    Rule {
        key: "models",
        example: "models = [\"NAME\"]",
        what: "models that it calls",
        is_required: false,
        interfaces: &["nereid:plugin/inference", "nereid:plugin-async/inference", "wasi:nn/graph"],
    },
    Rule {
        key: "model_control",
        example: "model_control = [\"NAME\"]",
        what: "models that it loads and unloads",
        is_required: false,
        interfaces: &["nereid:plugin/control"],
    },
    Rule {
        key: "http",
        example: "http = [\"api.example.com\"]",
        what: "servers that it calls",
        is_required: true,
        interfaces: &["wasi:http/outgoing-handler"],
    },
    Rule {
        key: "http",
        example: "http = [\"api.example.com\"]",
        what: "servers that it calls",
        is_required: false,
        interfaces: &["nereid:plugin/http"],
    },
    Rule {
        key: "files",
        example: "files = [{ path = \"data\", at = \"/data\" }]",
        what: "folders of its version's directory, or of the machine",
        is_required: false,
        interfaces: &["nereid:plugin/files", "wasi:filesystem/preopens"],
    },
    Rule {
        key: "secrets",
        example: "secrets = [\"NAME\"]",
        what: "secrets that the operator keeps",
        is_required: false,
        interfaces: &["nereid:plugin/secrets"],
    },
    Rule {
        key: "clocks",
        example: "clocks = true",
        what: "clocks that run while it computes",
        is_required: false,
        interfaces: &["wasi:clocks/monotonic-clock", "wasi:clocks/wall-clock"],
    },
];

/// What these imports may need, in the order in which it is written.
pub(super) fn of(imports: &[ImportedInterface]) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for rule in &RULES {
        let is_of_rule = |import: &&ImportedInterface| {
            let name = import.name.split('@').next().unwrap_or_default();
            rule.interfaces.contains(&name) && !import.functions.is_empty()
        };
        let names: Vec<String> = imports.iter().filter(is_of_rule).map(|import| import.name.clone()).collect();
        if names.is_empty() {
            continue;
        }
        match needs.iter_mut().find(|need| need.key == rule.key) {
            Some(need) => need.imports.extend(names),
            None => needs.push(Need {
                key: rule.key,
                example: rule.example,
                what: rule.what,
                is_required: rule.is_required,
                imports: names,
            }),
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(imports: &[(&str, bool)]) -> Vec<(&'static str, bool, usize)> {
        let import = |(name, has_functions): &(&str, bool)| ImportedInterface {
            name: (*name).to_owned(),
            purpose: None,
            functions: has_functions.then(|| "f".to_owned()).into_iter().collect(),
            misfit: None,
        };
        let imports: Vec<ImportedInterface> = imports.iter().map(import).collect();
        of(&imports).into_iter().map(|need| (need.key, need.is_required, need.imports.len())).collect()
    }

    #[test]
    fn what_is_called_needs_its_grant_and_types_alone_need_none() {
        let imports = [("nereid:plugin/inference@1.0.0", true), ("nereid:plugin/secrets@1.0.0", false)];
        assert_eq!(needs(&imports), [("models", false, 1)]);
        assert_eq!(needs(&[("nereid:plugin/tensors@1.0.0", true), ("wasi:random/random@0.2.6", true)]), []);
    }

    #[test]
    fn two_ways_to_one_thing_are_one_line_that_is_required_when_one_is() {
        let imports = [("nereid:plugin/http@1.0.0", true), ("wasi:http/outgoing-handler@0.2.6", true)];
        assert_eq!(needs(&imports), [("http", true, 2)]);
        assert_eq!(needs(&[("nereid:plugin/http@1.0.0", true)]), [("http", false, 1)]);
        let imports = [("nereid:plugin/inference@1.0.0", true), ("wasi:nn/graph@0.2.0-rc-2024-10-28", true)];
        assert_eq!(needs(&imports), [("models", false, 2)]);
    }

    /// That `plugin.toml` understands the lines is tested where it is read (`tests/clients/test_plugin_reach_command.py`).
    #[test]
    fn an_example_begins_with_its_key() {
        assert!(RULES.iter().all(|rule| rule.example.starts_with(&format!("{} = ", rule.key))));
    }
}
