//! The contract of plugins, in two packages: one version in all files of a package, and released versions that stay as they were released.
//!
//! A release copies the package's files, `wit/*.wit`, to `wit/VERSION/` and adds a row to the table in `wit/README.md` with the version and
//! the digest that the failing test prints; for the package that awaits these are `wit/async/*.wit`, `wit/async/VERSION/` and
//! `async VERSION`. From then on neither the copy nor, under that version, the original may change.

use std::collections::BTreeMap;

use super::house::{expect_none, read, texts};

/// A package: its files' folder, what begins each of them, and what begins its versions in the table of releases.
struct Package {
    folder: &'static str,
    begins: &'static str,
    row: &'static str,
}

const SYNC: Package = Package { folder: "wit/", begins: "package nereid:plugin@", row: "" };
const ASYNC: Package = Package { folder: "wit/async/", begins: "package nereid:plugin-async@", row: "async " };

/// A file's name and its text.
type Files = BTreeMap<String, String>;

#[test]
fn every_file_of_a_package_is_of_one_version() {
    for package in [SYNC, ASYNC] {
        let files = package.current();
        let expected = package.version(&files);
        assert!(expected.is_some(), "{} holds no package", package.folder);
        let odd = files.iter().filter(|(_, text)| package.version_of(text) != expected);
        expect_none("these do not begin as the others do:", &odd.map(|(name, _)| name.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn a_released_version_stays_what_it_was() {
    for package in [SYNC, ASYNC] {
        let complaints = package.changes(&package.released(), &package.current(), &read("wit/README.md"));
        expect_none("a plugin that was built against a released version must go on working:", &complaints);
    }
}

#[test]
fn a_change_of_what_was_released_is_seen() {
    for package in [SYNC, ASYNC] {
        check_changes(&package);
    }
}

fn check_changes(package: &Package) {
    let Package { begins, row, .. } = package;
    let file =
        |version: &str, text: &str| Files::from([("model.wit".to_owned(), format!("{begins}{version};\n{text}"))]);
    let files = |text: &str| file("1.0.0", text);
    let (old, new) = (files("interface a {}"), files("interface a { b: func(); }"));
    let released = |files: &Files| BTreeMap::from([("1.0.0".to_owned(), files.clone())]);
    let table = format!("| {row}1.0.0 | `{:016x}` |", digest(&old));
    assert_eq!(package.changes(&released(&old), &old, &table), Vec::<String>::new());
    assert_eq!(package.changes(&released(&old), &new, &table).len(), 1, "the original changed and kept its version");
    assert_eq!(package.changes(&released(&new), &new, &table).len(), 1, "the copy changed with the original");
    assert_eq!(package.changes(&BTreeMap::new(), &new, &table).len(), 1, "the copy is gone");
    let next = file("1.1.0", "interface a { b: func(); }");
    assert_eq!(package.changes(&released(&old), &next, &table), Vec::<String>::new());
}

// === impl Package ===

impl Package {
    /// As it is now: the files directly in its folder.
    fn current(&self) -> Files {
        let direct = texts("wit").into_iter().filter_map(|(path, text)| {
            let name = path.strip_prefix(self.folder).filter(|name| !name.contains('/'))?;
            Some((name.to_owned(), text))
        });
        direct.collect()
    }

    /// The copies, by version.
    fn released(&self) -> BTreeMap<String, Files> {
        let mut released: BTreeMap<String, Files> = BTreeMap::new();
        for (path, text) in texts("wit") {
            let place = path.strip_prefix(self.folder).and_then(|rest| rest.split_once('/'));
            if let Some((version, name)) = place.filter(|(version, _)| is_version(version)) {
                released.entry(version.to_owned()).or_default().insert(name.to_owned(), text);
            }
        }
        released
    }

    /// What is not as it was released, each with what to do.
    fn changes(&self, released: &BTreeMap<String, Files>, current: &Files, table: &str) -> Vec<String> {
        let Self { folder, row, .. } = self;
        let mut complaints = Vec::new();
        for (version, files) in released {
            let digest = format!("{:016x}", digest(files));
            if !table.contains(&format!("| {row}{version} | `{digest}` |")) {
                complaints.push(format!(
                    "{folder}{version} is not what wit/README.md says was released (it is `{digest}`): put it back"
                ));
            }
        }
        if let Some(files) = self.version(current).and_then(|version| released.get(version))
            && files != current
        {
            complaints
                .push(format!("{folder}*.wit changed under a version that is released: give it the next version"));
        }
        for version in table.lines().filter_map(|line| self.released_row(line)) {
            if !released.contains_key(version) {
                complaints
                    .push(format!("{folder}{version}, which wit/README.md says was released, is gone: put it back"));
            }
        }
        complaints
    }

    /// The version in a row of the table of releases, where that is one of this package's.
    fn released_row<'a>(&self, line: &'a str) -> Option<&'a str> {
        let (version, digest) = line.strip_prefix("| ")?.strip_prefix(self.row)?.split_once(" | `")?;
        let is_digest = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_version(version) && is_digest(digest.strip_suffix("` |")?)).then_some(version)
    }

    fn version<'a>(&self, files: &'a Files) -> Option<&'a str> {
        files.values().next().and_then(|text| self.version_of(text))
    }

    fn version_of<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.lines().next()?.strip_prefix(self.begins)?.strip_suffix(';')
    }
}

fn is_version(text: &str) -> bool {
    text.split('.').count() == 3 && text.split('.').all(|part| part.parse::<u32>().is_ok())
}

/// FNV-1a over names and texts: for changes that happen, not for those that somebody hides.
fn digest(files: &Files) -> u64 {
    let bytes = files.iter().flat_map(|(name, text)| [name.as_bytes(), &[0], text.as_bytes(), &[0]]).flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
