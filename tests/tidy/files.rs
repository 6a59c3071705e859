//! Rules about files as such: where they are, how large they are, what they must not name.

use std::fs;

use super::house::{expect_none, read, root, texts, tracked_files};

const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// STYLE.md, "Where things live", and what tools expect at the top.
const TOP_LEVEL: [&str; 22] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "examples",
    "host",
    "model_repository",
    "plugins",
    "rustfmt.toml",
    "sdk",
    "tests",
    "wit",
    "xtask",
];

#[test]
fn the_pages_that_a_newcomer_looks_for_exist() {
    let is_missing = |name: &&&str| !root().join(name).is_file();
    let pages = ["README.md", "CHANGELOG.md", "LICENSE", "host/ARCHITECTURE.md", ".ci/run", "deny.toml"];
    let missing: Vec<_> = pages.iter().filter(is_missing).map(|name| (*name).to_owned()).collect();
    expect_none("write these files:", &missing);
}

#[test]
fn nothing_new_lies_at_the_top() {
    let is_new = |name: &String| !TOP_LEVEL.contains(&name.split('/').next().unwrap());
    let found: Vec<_> = tracked_files().into_iter().filter(is_new).collect();
    expect_none("move these below one of the folders that STYLE.md lists, or change that list and TOP_LEVEL:", &found);
}

#[test]
fn no_file_is_larger_than_a_mebibyte() {
    let size = |name: &String| fs::metadata(root().join(name)).unwrap().len();
    let large = tracked_files().into_iter().filter(|name| size(name) > FILE_BYTES_MAX);
    let large: Vec<_> = large.map(|name| format!("{name}: {} bytes", size(&name))).collect();
    expect_none("make these smaller, or generate or fetch them:", &large);
}

#[test]
fn nothing_built_is_tracked() {
    let is_built = |name: &String| [".wasm", ".cwasm", ".so", ".pyc", ".whl"].iter().any(|end| name.ends_with(end));
    let built: Vec<_> = tracked_files().into_iter().filter(is_built).collect();
    expect_none("remove these from git; `cargo xtask guests` and `setup` make them:", &built);
}

/// A machine's own paths and a registry's host do not belong in a repository: both differ elsewhere.
#[test]
fn no_file_names_a_registry_host_or_a_machines_path() {
    // In pieces, so that this file passes.
    let hosts = [("crates", "io"), ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb.debian", "org")];
    let folders = ["home", "work", "root"];
    let mut needles: Vec<String> = hosts.iter().map(|(name, domain)| format!("{name}.{domain}")).collect();
    needles.extend(folders.iter().map(|folder| format!("/{folder}/")));
    let mut complaints = Vec::new();
    // A lock file says where its packages came from, in cargo's words.
    for name in tracked_files().into_iter().filter(|name| !name.ends_with("Cargo.lock")) {
        let Ok(text) = fs::read_to_string(root().join(&name)) else { continue }; // not text
        for (number, line) in text.lines().enumerate() {
            let found = needles.iter().filter(|needle| names_it(line, needle));
            complaints.extend(found.map(|needle| format!("{name}:{}: {needle}", number + 1)));
        }
    }
    expect_none("write paths from the repository down, and packages by their names:", &complaints);
}

/// True where `needle` stands in `line` as a host or at the start of a path, not inside a longer path.
fn names_it(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        if needle.starts_with('/') {
            before.is_none_or(|character| !character.is_alphanumeric() && !"._-}*/$)".contains(character))
        } else {
            before.is_none_or(|character| !character.is_alphanumeric() && character != '-')
        }
    })
}

#[test]
fn paths_and_hosts_are_told_from_their_look_alikes() {
    let folder = format!("/{}/", "work");
    assert!(names_it(&format!("see {folder}main"), &folder) && names_it(&format!("\"{folder}x\""), &folder));
    assert!(!names_it(&format!("host{folder}x"), &folder) && !names_it("a/workspace/b", &folder));
    let host = format!("pypi{}", ".org");
    assert!(names_it(&format!("https://{host}/simple"), &host) && !names_it(&format!("my{host}"), &host));
}

#[test]
fn every_script_says_what_it_is_for() {
    let starts_well = |text: &str| text.trim_start().starts_with("\"\"\"") || text.starts_with("#!");
    let bare: Vec<_> = texts("py").into_iter().filter(|(_, text)| !starts_well(text)).map(|(name, _)| name).collect();
    expect_none("open these with a docstring that says what they promise:", &bare);
    assert!(read(".ci/run").contains("cargo xtask test"), ".ci/run calls `cargo xtask test` and nothing else");
}
