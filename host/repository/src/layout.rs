//! What lies in the directories: `<repository>/<model>/<version>/`, and nothing about what it means.
//!
//! Costs one directory listing per repository and one per model. Directories whose name begins with a dot are no models.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use nereid_inference::InferError;

/// Directories that a model may have beside its versions.
const NEVER_VERSIONS: [&str; 3] = ["configs", "warmup", "initial_state"];

/// Directories of a plugin that is written where it is served; nothing in them is part of the model.
const DEVELOPMENT: [&str; 7] = ["src", "sdk", "wit", "tests", "target", "node_modules", "__pycache__"];

/// The version directories of one model.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionDirectories {
    /// Ascending.
    pub(crate) versions: Vec<u64>,
    /// One sentence for each directory that looks like a version and is none.
    pub(crate) warnings: Vec<String>,
}

/// What the name of a directory says.
#[derive(Debug, PartialEq, Eq)]
enum VersionName {
    Version(u64),
    /// Meant for something else.
    Other,
    /// Not a version, and nothing else that is known.
    Odd(&'static str),
}

/// The repositories, each once, however it is written.
///
/// # Errors
/// A path that is no directory.
pub(crate) fn repositories(paths: &[PathBuf]) -> Result<Vec<PathBuf>, InferError> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut repositories = Vec::new();
    for path in paths {
        let canonical = path.canonicalize().map_err(|error| unreadable(path, &error))?;
        if !canonical.is_dir() {
            return Err(unreadable(path, &io::Error::from(io::ErrorKind::NotADirectory)));
        }
        if !seen.contains(&canonical) {
            seen.push(canonical);
            repositories.push(path.clone());
        }
    }
    Ok(repositories)
}

/// The names of the models in a repository, sorted.
///
/// # Errors
/// It cannot be listed.
pub(crate) fn models(repository: &Path) -> Result<Vec<String>, InferError> {
    let mut names = directories(repository).map_err(|error| unreadable(repository, &error))?;
    names.retain(|name| !name.starts_with('.'));
    Ok(names)
}

/// The directory of the model called `name`; `None` when there is none.
pub(crate) fn model_directory(repository: &Path, name: &str) -> Option<PathBuf> {
    let mut components = Path::new(name).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    if !plain || name.starts_with('.') || name.ends_with('/') {
        return None;
    }
    Some(repository.join(name)).filter(|path| path.is_dir())
}

/// The versions in a model's directory.
///
/// # Errors
/// The directory cannot be listed.
pub(crate) fn version_directories(model_directory: &Path) -> Result<VersionDirectories, InferError> {
    let mut found = VersionDirectories::default();
    for name in directories(model_directory).map_err(|error| unreadable(model_directory, &error))? {
        match version_name(&name) {
            VersionName::Version(version) => found.versions.push(version),
            VersionName::Other => {}
            VersionName::Odd(why) => found.warnings.push(format!("ignoring version directory '{name}': {why}")),
        }
    }
    found.versions.sort_unstable();
    Ok(found)
}

fn version_name(name: &str) -> VersionName {
    if NEVER_VERSIONS.contains(&name) || is_development(name) || name.starts_with('.') {
        return VersionName::Other;
    }
    if !name.chars().all(|c| c.is_ascii_digit()) {
        return VersionName::Odd("its name is not an integer");
    }
    match name.parse::<u64>() {
        Ok(_) if name.starts_with('0') && name.len() > 1 => VersionName::Odd("its name has leading zeros"),
        Ok(0) => VersionName::Odd("versions begin at 1"),
        // The protocol's version numbers are signed 64-bit integers.
        Ok(version) if i64::try_from(version).is_ok() => VersionName::Version(version),
        _ => VersionName::Odd("its name is too large a number"),
    }
}

/// Whether a directory of that name, in a model's, is its author's and not the model's.
pub(crate) fn is_development(name: &str) -> bool {
    DEVELOPMENT.contains(&name)
}

/// Names of the directories in `path`, sorted. A name that is not UTF-8 cannot be asked for and is left out.
fn directories(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // Follows symbolic links: versions are often links to a shared store.
        if entry.path().is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn unreadable(path: &Path, error: &io::Error) -> InferError {
    InferError::internal(format!("failed to open the model repository directory '{}': {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_integers_are_versions() {
        let cases = [("1", Some(1)), ("20240131", Some(20_240_131)), ("9223372036854775807", Some(i64::MAX as u64))];
        for (name, version) in cases {
            assert_eq!(version_name(name), VersionName::Version(version.unwrap()), "{name}");
        }
        for name in ["configs", "warmup", "initial_state", ".ipynb_checkpoints", "src", "target"] {
            assert_eq!(version_name(name), VersionName::Other, "{name}");
        }
        for name in ["01", "0", "v1", "1.0", "-1", "+1", "9223372036854775808", "99999999999999999999", "１"] {
            assert!(matches!(version_name(name), VersionName::Odd(_)), "{name}");
        }
    }

    #[test]
    fn a_name_never_leaves_the_repository() {
        let repository = tempfile::tempdir().unwrap();
        fs::create_dir_all(repository.path().join("m/1")).unwrap();
        assert_eq!(model_directory(repository.path(), "m"), Some(repository.path().join("m")));
        for name in ["", ".", "..", "../m", "m/1", "/", "m/", "absent"] {
            assert_eq!(model_directory(repository.path(), name), None, "{name:?}");
        }
    }

    #[test]
    fn a_repository_given_twice_counts_once() {
        let repository = tempfile::tempdir().unwrap();
        let again = repository.path().join(".");
        assert_eq!(repositories(&[repository.path().to_owned(), again]).unwrap().len(), 1);
    }

    #[test]
    fn a_missing_repository_is_named() {
        let error = repositories(&["/no/such/repository".into()]).unwrap_err();
        assert!(error.message().starts_with("failed to open the model repository directory '/no/such/repository': "));
    }
}
