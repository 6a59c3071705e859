//! What a file of keys may say, and how it is refused.

use super::*;
use crate::Category;

/// `sha256sum` of `abc`, and of nothing.
const ABC: &str = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn entry(name: &str, sha256: &str, categories: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\ncategories = [{categories}]\n")
}

fn parse_here(text: &str) -> Result<Keys, String> {
    parse(text, &Tenants::default())
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let problem = parse_here(text).err().unwrap_or_else(|| panic!("this should have been refused: {text}"));
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn a_file_names_keys_and_what_they_may_use() {
    let text = format!(
        "open = [\"health\"]\n{}{}",
        entry("a", ABC, "\"inference\", \"metadata\""),
        entry("b", NOTHING, "\"all\"")
    );
    let keys = parse_here(&text).unwrap();
    assert!(keys.is_open(Some(Category::Health)) && !keys.is_open(Some(Category::Metadata)));
    let found = keys.find(b"abc").unwrap();
    assert_eq!((&*found.name, found.categories.to_string()), ("a", "metadata, inference".to_owned()));
    assert_eq!(keys.find(b"").unwrap().categories.to_string(), "all");
    assert!(keys.find(b"abd").is_none());
}

#[test]
fn nothing_is_open_unless_the_file_says_so() {
    assert!(!parse_here(&entry("a", ABC, "\"all\"")).unwrap().is_open(Some(Category::Health)));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    check_refused("", "has no [[key]]: nobody could use the server");
    check_refused("open = [\"health\"]\n", "has no [[key]]");
    check_refused(&format!("\nopn = []\n{}", entry("a", ABC, "\"all\"")), "is wrong in line 2: unknown field `opn`");
    check_refused(
        &format!("open = [\"x\"]\n{}", entry("a", ABC, "\"all\"")),
        "is wrong at 'open': unknown category 'x'",
    );
    check_refused(&entry("a", ABC, "\"infer\""), "is wrong at the key 'a': unknown category 'infer'; known are all,");
    check_refused(&entry("a", ABC, ""), "is wrong at the key 'a': 'categories' is empty");
    check_refused(&entry("", ABC, "\"all\""), "is wrong at the key '': its name");
    for digest in ["", "abc", &ABC[1..], &ABC.replace('B', "é"), &format!("+{}", &ABC[1..])] {
        check_refused(&entry("a", digest, "\"all\""), "is wrong at the key 'a': 'sha256' must be the 64 hexadecimal");
    }
    let same_name = entry("a", ABC, "\"all\"") + &entry("a", NOTHING, "\"all\"");
    check_refused(&same_name, "has two keys with the same name or digest: 'a' and 'a'");
    let same_key = entry("a", ABC, "\"all\"") + &entry("b", &ABC.to_lowercase(), "\"all\"");
    check_refused(&same_key, "has two keys with the same name or digest: 'a' and 'b'");
    let many: String = (0..=KEYS_MAX).map(|index| entry(&index.to_string(), ABC, "\"all\"")).collect();
    check_refused(&many, "has 1001 keys, 1000 are the most");
}

#[test]
fn a_file_that_is_missing_or_too_large_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let error = KeyFile::load(&path, &Tenants::default()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("the file of API keys '{}' cannot be read: No such file", path.display())),
        "{error}"
    );
    std::fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    let error = KeyFile::load(&path, &Tenants::default()).unwrap_err().to_string();
    assert!(error.ends_with("cannot be read: it is larger than 1048576 bytes"), "{error}");
}

#[test]
fn a_broken_file_keeps_the_old_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, entry("a", ABC, "\"all\"")).unwrap();
    let file = KeyFile::load(&path, &Tenants::default()).unwrap();
    std::fs::write(&path, "[[key]").unwrap();
    assert!(matches!(file.look(false), Look::Refused(_)));
    assert!(file.keys().find(b"abc").is_some());
    std::fs::write(&path, entry("b", NOTHING, "\"all\"")).unwrap();
    assert_eq!(file.look(false), Look::Renewed);
    assert!(file.keys().find(b"abc").is_none() && file.keys().find(b"").is_some());
}

#[test]
fn a_key_is_a_tenants_when_it_says_so() {
    let text = entry("a", ABC, "\"all\"") + "tenant = \"acme\"\n" + &entry("b", NOTHING, "\"all\"");
    let keys = parse_here(&text).unwrap();
    assert_eq!(
        keys.find(b"abc").unwrap().tenant.as_ref().map(|tenant| tenant.name().to_string()),
        Some("acme".to_owned())
    );
    assert!(keys.find(b"").unwrap().tenant.is_none());
    let listed = Tenants::listed([("bolt".into(), Default::default())].into());
    let problem = parse(&text, &listed).err().unwrap();
    assert_eq!(problem, "is wrong at the key 'a': nereid.toml lists no tenant 'acme', only bolt");
}
