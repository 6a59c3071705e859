//! The contract of plugins: one version in all of its files, and released versions that stay as they were released.
//!
//! A release copies `wit/*.wit` to `wit/VERSION/` and adds a row to the table in `wit/README.md` with the version and the
//! digest that the failing test prints. From then on neither the copy nor, under that version, the original may change.

use std::collections::BTreeMap;

use super::house::{expect_none, read, texts};

/// Begins every file.
const PACKAGE: &str = "package nereid:plugin@";

/// A file's name and its text.
type Files = BTreeMap<String, String>;

#[test]
fn every_file_of_the_contract_is_of_one_version() {
    let files = current();
    let expected = version(&files).unwrap_or_default();
    let odd = files.iter().filter(|(_, text)| version_of(text) != Some(expected));
    expect_none("these do not begin as the others do:", &odd.map(|(name, _)| name.clone()).collect::<Vec<_>>());
}

#[test]
fn a_released_version_stays_what_it_was() {
    let mut released: BTreeMap<String, Files> = BTreeMap::new();
    for (path, text) in texts("wit") {
        if let Some([folder, name]) =
            path.strip_prefix("wit/").and_then(|rest| rest.split_once('/')).map(<[&str; 2]>::from)
        {
            released.entry(folder.to_owned()).or_default().insert(name.to_owned(), text);
        }
    }
    let complaints = changes(&released, &current(), &read("wit/README.md"));
    expect_none("a plugin that was built against a released version must go on working:", &complaints);
}

#[test]
fn a_change_of_what_was_released_is_seen() {
    let files = |text: &str| Files::from([("model.wit".to_owned(), format!("{PACKAGE}1.0.0;\n{text}"))]);
    let (old, new) = (files("interface a {}"), files("interface a { b: func(); }"));
    let released = |files: &Files| BTreeMap::from([("1.0.0".to_owned(), files.clone())]);
    let table = format!("| 1.0.0 | `{:016x}` |", digest(&old));
    assert_eq!(changes(&released(&old), &old, &table), Vec::<String>::new());
    assert_eq!(changes(&released(&old), &new, &table).len(), 1, "the original changed and kept its version");
    assert_eq!(changes(&released(&new), &new, &table).len(), 1, "the copy changed with the original");
    assert_eq!(changes(&BTreeMap::new(), &new, &table).len(), 1, "the copy is gone");
    let next = Files::from([("model.wit".to_owned(), format!("{PACKAGE}1.1.0;\ninterface a {{ b: func(); }}"))]);
    assert_eq!(changes(&released(&old), &next, &table), Vec::<String>::new());
}

/// The contract as it is now: the files directly in `wit`.
fn current() -> Files {
    let direct = texts("wit").into_iter().filter_map(|(path, text)| {
        let name = path.strip_prefix("wit/").filter(|name| !name.contains('/'))?;
        Some((name.to_owned(), text))
    });
    direct.collect()
}

/// What is not as it was released, each with what to do.
fn changes(released: &BTreeMap<String, Files>, current: &Files, table: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (version, files) in released {
        let digest = format!("{:016x}", digest(files));
        if !table.contains(&format!("| {version} | `{digest}` |")) {
            complaints.push(format!(
                "wit/{version} is not what wit/README.md says was released (it is `{digest}`): put it back"
            ));
        }
    }
    if let Some(files) = version(current).and_then(|version| released.get(version))
        && files != current
    {
        complaints.push("wit/*.wit changed under a version that is released: give it the next version".to_owned());
    }
    for version in table.lines().filter_map(released_row) {
        if !released.contains_key(version) {
            complaints.push(format!("wit/{version}, which wit/README.md says was released, is gone: put it back"));
        }
    }
    complaints
}

/// The version in a row of the table of releases.
fn released_row(line: &str) -> Option<&str> {
    let (version, digest) = line.strip_prefix("| ")?.split_once(" | `")?;
    let is_digest = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_version = version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok());
    (is_version && is_digest(digest.strip_suffix("` |")?)).then_some(version)
}

fn version(files: &Files) -> Option<&str> {
    files.values().next().and_then(|text| version_of(text))
}

fn version_of(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix(PACKAGE)?.strip_suffix(';')
}

/// FNV-1a over names and texts: for changes that happen, not for those that somebody hides.
fn digest(files: &Files) -> u64 {
    let bytes = files.iter().flat_map(|(name, text)| [name.as_bytes(), &[0], text.as_bytes(), &[0]]).flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
