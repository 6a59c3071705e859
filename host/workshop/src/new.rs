//! `nereid plugin new`: a folder that builds at once.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{WorkshopError, kit, language::Language, world::World};

/// Longest name of a model that is begun; paths and metrics carry it.
const NAME_BYTES_MAX: usize = 64;

/// Words that a Rust crate cannot be called: the language's own, and the crates that every one has.
const NOT_CRATES: [&str; 45] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "true",
    "type",
];

/// Begins a plugin in `folder`, whose last part is the model's name. Says what was made.
///
/// # Errors
/// The name cannot be a model's, the folder is there, or a file cannot be written.
pub fn new(language: Language, world: World, folder: &Path) -> Result<PathBuf, WorkshopError> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name, language)?;
    if language != Language::Rust && world.is_for_rust_alone() {
        return Err(WorkshopError::OnlyRust { world: world.name(), language: language.name() });
    }
    make_folder(folder)?;
    kit::write(folder, &kit::plugin(language, world, name))?;
    Ok(folder.to_owned())
}

fn make_folder(folder: &Path) -> Result<(), WorkshopError> {
    let failed = |source| WorkshopError::Write { path: folder.to_owned(), source };
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::create_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => WorkshopError::Exists { folder: folder.to_owned() },
        _ => failed(error),
    })
}

fn check_name(name: &str, language: Language) -> Result<(), WorkshopError> {
    let refused = |problem: &str| Err(WorkshopError::Name { name: name.to_owned(), problem: problem.to_owned() });
    if name.len() > NAME_BYTES_MAX {
        return refused("expected at most 64 characters");
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.chars().all(is_plain) {
        return refused("expected a letter, then letters, digits, '_' or '-'");
    }
    let is_taken = NOT_CRATES.contains(&name) || name.starts_with("nereid-sdk");
    if language == Language::Rust && is_taken {
        return refused("no Rust crate can be called that");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_models_and_crates_can_be_called() {
        for name in ["double", "a", "Image_2-small"] {
            assert!(check_name(name, Language::Rust).is_ok(), "{name}");
        }
        for name in ["", "2x", "-x", "_x", "a b", "a.b", "über", "..", "a/b", &"x".repeat(65)] {
            assert!(check_name(name, Language::Python).is_err(), "{name}");
        }
        assert!(check_name("match", Language::Rust).is_err());
        assert!(check_name("match", Language::Python).is_ok());
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_of_what_was_refused() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("models/there");
        new(Language::Python, World::Transform, &there).unwrap();
        fs::write(there.join("plugin.py"), "mine").unwrap();
        let error = new(Language::Rust, World::Transform, &there).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(there.join("plugin.py")).unwrap(), "mine");
        let in_python = folder.path().join("agent");
        let error = new(Language::Python, World::Agent, &in_python).unwrap_err();
        assert!(error.to_string().contains("begun in Rust: --lang rust; python has no SDK for it"), "{error}");
        assert!(!in_python.exists());
        let refused = folder.path().join("2x");
        new(Language::Python, World::Model, &refused).unwrap_err();
        assert!(!refused.exists());
    }
}
