//! What the tests read: the tracked files and their texts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The root of the repository.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Paths from the root of every tracked file that is still there, in order.
pub(super) fn tracked_files() -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    assert!(names.len() > 100, "git knows only {} files: is this the repository?", names.len());
    names.into_iter().filter(|name| root().join(name).is_file()).collect()
}

/// Tracked files with this extension and their texts.
pub(super) fn texts(extension: &str) -> Vec<(String, String)> {
    let suffix = format!(".{extension}");
    let names = tracked_files().into_iter().filter(|name| name.ends_with(&suffix));
    names.map(|name| (name.clone(), read(&name))).collect()
}

pub(super) fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Fails with one line per complaint and the advice above them.
pub(super) fn expect_none(advice: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{advice}\n  {}\n", complaints.join("\n  "));
}
