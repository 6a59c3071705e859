//! Limits as operators change and read them, and README as the place where they look first.

use std::collections::BTreeSet;

use super::*;

#[track_caller]
fn check_refused(setting: &str, expected: &str) {
    let problem = Limits::with(&[setting.to_owned()]).unwrap_err();
    assert!(problem.starts_with(&format!("--limit={setting}: {expected}")), "{problem}");
}

#[test]
fn a_setting_changes_one_limit_and_the_last_one_counts() {
    let settings = ["http-body=1MiB", "grpc-connections=10", "http-body = 2 MiB"].map(str::to_owned);
    let limits = Limits::with(&settings).unwrap();
    assert_eq!(limits.http.input_bytes_max, 2 << 20);
    assert_eq!(limits.grpc.connections_max, 10);
    assert_eq!(limits.http.connections_max, HttpLimits::default().connections_max);
    assert_eq!(Limits::with(&[]).unwrap(), Limits::default());
}

#[test]
fn a_setting_that_changes_nothing_is_refused() {
    check_refused("http-body", "expected NAME=VALUE; 'nereid limits' lists the names");
    check_refused("http-body=lots", "expected bytes: a number, or one with KiB, MiB or GiB");
    check_refused("http-body=0", "expected bytes: a number, or one with KiB, MiB or GiB, from 1 ");
    check_refused("grpc-frame=1KiB", "expected bytes: a number, or one with KiB, MiB or GiB, from 16 KiB to ");
    check_refused("grpc-frames=1", "there is no limit 'grpc-frames' (grpc-message, ");
    check_refused("fish=1", "there is no limit 'fish'; 'nereid limits' lists all of them");
}

#[test]
fn names_are_unique_and_say_their_area() {
    let rows = Limits::default().rows();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    for name in names {
        assert!(name.contains('-') && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
    }
}

#[test]
fn every_value_that_is_shown_can_be_written() {
    for row in Limits::default().rows() {
        let setting = format!("{}={}", row.name, row.default);
        assert_eq!(Limits::with(&[setting]).unwrap(), Limits::default(), "{}", row.name);
    }
}

#[test]
fn the_table_shows_changed_values_beside_their_defaults() {
    let shown = Limits::with(&["http-head=5s".to_owned()]).unwrap().to_string();
    let line = shown.lines().find(|line| line.contains("http-head")).unwrap();
    assert!(line.contains("| 5 s ") && line.contains("| 75 s "), "{line}");
    assert!(shown.contains("shm-regions"), "{shown}");
    assert!(shown.contains("memory_mib") && shown.contains("256 MiB") && shown.contains("4 GiB"), "{shown}");
}

/// The rows that README should have, and those of its tables between two headings.
#[test]
fn readme_lists_every_limit_with_its_default() {
    let server =
        Limits::default().rows().into_iter().map(|row| format!("| `{}` | {} | {} |", row.name, row.default, row.what));
    let fixed = fixed_rows().into_iter().map(|row| {
        let changed_by = if row.changed_by.is_empty() { String::new() } else { format!(" {}", row.changed_by) };
        format!("| {} | {} |{changed_by} |", row.what, row.value)
    });
    let plugins = plugin_rows()
        .into_iter()
        .map(|row| format!("| `{}` | {} | {} | {} |", row.key, row.default, row.ceiling, row.what));
    let wanted: Vec<String> = server.chain(fixed).chain(plugins).collect();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Limits\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines: BTreeSet<&str> = section.lines().collect();
    let missing: Vec<&String> = wanted.iter().filter(|row| !lines.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "README's limits lack these rows:\n{missing:#?}");
    let is_stale = |line: &&&str| line.starts_with("| `") && !wanted.iter().any(|row| row == **line);
    let stale: Vec<_> = lines.iter().filter(is_stale).collect();
    assert!(stale.is_empty(), "README's limits have rows that nothing declares:\n{stale:#?}");
}
