//! Every crate that is compiled in has a licence that deny.toml allows.

use std::process::Command;

use super::house::{expect_none, read, root};

/// The texts in `allow = [ … ]` of deny.toml.
fn allowed() -> Vec<String> {
    let text = read("deny.toml");
    let list = text.split("\nallow = [").nth(1).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression leaves a choice that is allowed: all parts joined by AND, one of those joined by OR.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|licence| allowed.iter().any(|known| known == licence.trim())))
}

/// Name and licence of every package that cargo would compile here.
fn packages() -> Vec<(String, String)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |part: &str, key: &str| {
        let rest = part.split(&format!("\"{key}\":")).nth(1)?;
        rest.strip_prefix('"')?.split('"').next().map(str::to_owned)
    };
    // Each package's object begins with its name; nothing else in the answer begins so.
    let parts = text.split("{\"name\":\"").skip(1).map(|part| format!("\"name\":\"{part}"));
    let packages = parts.filter(|part| part.contains("\"license\":"));
    packages.map(|part| (value(&part, "name").unwrap(), value(&part, "license").unwrap_or_default())).collect()
}

#[test]
fn every_licence_is_allowed() {
    let allowed = allowed();
    let packages = packages();
    assert!(packages.len() > 50, "only {} packages found: has the form of cargo metadata changed?", packages.len());
    let wrong = packages.iter().filter(|(_, licence)| !is_allowed(licence, &allowed));
    let wrong: Vec<_> = wrong.map(|(name, licence)| format!("{name}: '{licence}'")).collect();
    expect_none("choose other crates, or allow these licences in deny.toml if they fit Apache-2.0:", &wrong);
}

#[test]
fn choices_and_sums_of_licences_are_understood() {
    let allowed = ["MIT".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    assert!(is_allowed("GPL-3.0 OR MIT", &allowed) && is_allowed("X/MIT", &allowed));
    assert!(is_allowed("(X OR MIT) AND Apache-2.0 WITH LLVM-exception", &allowed));
    assert!(!is_allowed("MIT AND GPL-3.0", &allowed) && !is_allowed("", &allowed));
}
