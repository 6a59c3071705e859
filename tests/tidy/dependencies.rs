//! Rules about manifests: who may depend on whom, and why an outside crate is there.

use std::collections::{BTreeMap, BTreeSet};

use super::house::{expect_none, read, texts};

/// STYLE.md, "Direction", with the two edges that host/ARCHITECTURE.md defends. Left may depend on right, and on
/// whatever right may depend on. A new edge is a design change: change those pages and this table together.
const DIRECTION: [(&str, &[&str]); 38] = [
    ("sync", &[]),
    ("tensor", &[]),
    ("gpu", &["tensor"]),
    ("inference", &["sync", "tensor"]),
    ("config", &["inference"]),
    ("telemetry", &["inference"]),
    ("backend", &["inference"]),
    ("cache", &["inference", "sync"]),
    ("memory", &["inference"]),
    ("seeds", &[]),
    ("operations", &["tensor"]),
    ("plugin", &["inference", "operations", "telemetry"]),
    ("forest", &[]),
    ("backend-fil", &["backend", "forest", "gpu", "telemetry"]),
    ("backend-identity", &["backend", "gpu", "telemetry"]),
    ("backend-onnx", &["backend", "gpu", "telemetry"]),
    ("backend-openvino", &["backend"]),
    ("backend-pytorch", &["backend", "gpu"]),
    ("backend-python", &["backend", "config", "telemetry"]),
    ("backend-repeat", &["backend"]),
    ("backend-tensorrt", &["backend", "gpu"]),
    ("backend-wasm", &["backend", "config", "plugin", "telemetry"]),
    ("scheduler", &["backend", "telemetry"]),
    ("pipeline", &["scheduler", "cache", "gpu", "memory", "plugin", "telemetry"]),
    ("repository", &["config"]),
    ("protocol", &["config"]),
    ("tenants", &["inference"]),
    ("access", &["tenants"]),
    ("shared-memory", &["gpu", "inference"]),
    ("http", &["access", "protocol", "shared-memory", "telemetry"]),
    ("client", &["grpc"]),
    ("grpc", &["access", "protocol", "shared-memory", "telemetry"]),
    ("componentize", &["toolchains"]),
    ("workshop", &["componentize", "plugin", "toolchains"]),
    ("rehearsal", &["backend-wasm", "client", "pipeline", "repository"]),
    (
        "server",
        &[
            "workshop",
            "rehearsal",
            "gpu",
            "http",
            "grpc",
            "client",
            "repository",
            "pipeline",
            "backend-fil",
            "backend-identity",
            "backend-onnx",
            "backend-openvino",
            "backend-pytorch",
            "backend-python",
            "backend-repeat",
            "backend-tensorrt",
            "backend-wasm",
            "telemetry",
        ],
    ),
    ("toolchains", &[]),
    ("xtask", &["toolchains"]),
];

/// Crates for whom the table does not hold: they look at the whole.
const OUTSIDE: [&str; 2] = ["tests", "benches"];

/// Everything that `name` may depend on, through any number of edges.
fn reachable(name: &str, into: &mut BTreeSet<&'static str>) {
    let row = DIRECTION.iter().find(|(left, _)| *left == name);
    for right in row.map_or(&[] as &[_], |(_, right)| *right) {
        if into.insert(right) {
            reachable(right, into);
        }
    }
}

/// The lines of one table of a manifest, without comments and blanks.
fn table<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| line.trim() != header).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).collect()
}

/// The names on the left of a dependency table.
fn dependencies(manifest: &str, kind: &str) -> Vec<String> {
    let name = |line: &str| line.split(['.', '=', ' ']).next().unwrap().trim_matches('"').to_owned();
    table(manifest, kind).into_iter().map(name).collect()
}

fn package_name(manifest: &str) -> Option<String> {
    let line = table(manifest, "package").into_iter().find(|line| line.starts_with("name"))?;
    Some(line.split('"').nth(1)?.to_owned())
}

/// Manifests of the root workspace's packages by their names without `nereid-`.
fn packages() -> BTreeMap<String, (String, String)> {
    let is_ours =
        |name: &String| ["host/", "xtask/", "tests/Cargo", "benches/"].iter().any(|start| name.starts_with(start));
    let manifests = texts("toml").into_iter().filter(|(name, _)| name.ends_with("Cargo.toml") && is_ours(name));
    let named = manifests.filter_map(|(path, text)| {
        let name = package_name(&text)?;
        Some((name.strip_prefix("nereid-").unwrap_or(&name).to_owned(), (path, text)))
    });
    named.collect()
}

#[test]
fn dependencies_point_down() {
    let mut complaints = Vec::new();
    for (name, (path, manifest)) in packages().iter().filter(|(name, _)| !OUTSIDE.contains(&name.as_str())) {
        if !DIRECTION.iter().any(|(left, _)| left == name) {
            complaints.push(format!("{path}: no row for {name}"));
            continue;
        }
        let mut allowed = BTreeSet::new();
        reachable(name, &mut allowed);
        let ours = dependencies(manifest, "dependencies").into_iter();
        let ours = ours.filter_map(|crate_name| crate_name.strip_prefix("nereid-").map(str::to_owned));
        let wrong = ours.filter(|right| !allowed.contains(right.as_str()));
        complaints.extend(wrong.map(|right| format!("{path}: {name} -> {right}")));
    }
    expect_none(
        "these edges are not in DIRECTION (tests/tidy/dependencies.rs); a new edge is a design change:",
        &complaints,
    );
}

#[test]
fn the_table_of_directions_has_no_cycle_and_no_stranger() {
    let packages = packages();
    for (name, _) in DIRECTION {
        assert!(packages.contains_key(name), "DIRECTION names {name}, which is no package: remove its row");
        let mut below = BTreeSet::new();
        reachable(name, &mut below);
        assert!(!below.contains(name), "{name} may depend on itself: {below:?}");
    }
}

#[test]
fn every_outside_crate_stands_in_the_workspace_table_with_a_reason() {
    let mut complaints = Vec::new();
    for root_manifest in ["Cargo.toml", "plugins/Cargo.toml"] {
        let manifest = read(root_manifest);
        let outside = table(&manifest, "workspace.dependencies").into_iter().filter(|line| !line.contains("path = "));
        let bare = outside.filter(|line| line.split_once("# ").is_none_or(|(_, reason)| reason.trim().len() < 10));
        complaints.extend(bare.map(|line| format!("{root_manifest}: {line}")));
    }
    expect_none("say behind each of these, after '#', why it was chosen:", &complaints);

    let mut complaints = Vec::new();
    for (path, manifest) in packages().values() {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let own = table(manifest, kind).into_iter().filter(|line| !line.contains("workspace = true"));
            complaints.extend(own.map(|line| format!("{path}: {line}")));
        }
    }
    expect_none("write `x.workspace = true` here; versions and features stand in the workspace table:", &complaints);
}

#[test]
fn every_crate_of_the_workspace_table_is_used() {
    let used: BTreeSet<String> = packages()
        .values()
        .flat_map(|(_, manifest)| {
            ["dependencies", "dev-dependencies", "build-dependencies"].map(|kind| dependencies(manifest, kind))
        })
        .flatten()
        .collect();
    let unused = dependencies(&read("Cargo.toml"), "workspace.dependencies").into_iter();
    let unused: Vec<_> = unused.filter(|name| !used.contains(name)).collect();
    expect_none("nobody uses these lines of the root Cargo.toml, remove them:", &unused);
}

#[test]
fn every_package_follows_the_workspace() {
    let mut complaints = Vec::new();
    for (path, manifest) in packages().values() {
        let package = table(manifest, "package");
        for line in ["version.workspace = true", "edition.workspace = true", "license.workspace = true"] {
            if !package.contains(&line) {
                complaints.push(format!("{path}: [package] lacks `{line}`"));
            }
        }
        if !package.iter().any(|line| line.starts_with("description")) {
            complaints.push(format!("{path}: [package] lacks a description: one sentence, what the crate is"));
        }
        if table(manifest, "lints") != ["workspace = true"] {
            complaints.push(format!("{path}: lacks `[lints] workspace = true`"));
        }
    }
    expect_none("change these manifests:", &complaints);
}
