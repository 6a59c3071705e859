//! Files that are not plugins, each refused in its own words; and the cache of those that are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::fs;

use nereid_plugin::{Plugin, PluginEngine, SandboxPool};
use support::*;

#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let error = match ENGINE.compile("repo/m/1/model.wasm", bytes) {
        Ok(_) => panic!("loaded, expected: {expected}"),
        Err(error) => error.to_string(),
    };
    assert!(error.starts_with("'repo/m/1/model.wasm' "), "{error}");
    assert!(error.contains(expected), "expected {expected:?} in {error:?}");
}

#[test]
fn files_that_are_no_component_are_told_what_they_are() {
    check(b"", "it is empty");
    check(b"ELF\x7fsomething", "it begins with the bytes 45 4c 46 7f, not with 00 61 73 6d");
    check(b"  (component)", "it is WebAssembly text");
    check(b"\0asm\x01\0\0\0", "it is a core module, and a component is needed");
    check(b"\0asm", "it ends, or has an unknown version");
}

#[test]
fn a_damaged_component_is_refused_with_the_place() {
    let whole = component(&[], IDENTITY);
    check(&whole[..whole.len() / 2], "is damaged");
    let mut flipped = whole;
    let middle = flipped.len() / 3;
    flipped[middle..middle + 16].fill(0xff);
    check(&flipped, "is damaged");
}

#[test]
fn every_import_that_is_not_offered_is_listed() {
    let text = r#"(component
        (import "wasi:http/incoming-handler@0.2.3" (instance))
        (import "acme:things/store" (instance))
        (import "nereid:plugin/tensors@0.9.0" (instance)))"#;
    let bytes = wat::parse_str(text).unwrap();
    check(&bytes, "  wasi:http/incoming-handler@0.2.3: of WASI, plugins have wasi:cli, wasi:clocks, wasi:filesystem,");
    check(&bytes, "\n  acme:things/store: unknown; plugins may import nereid:plugin/{types, tensors,");
    check(&bytes, "\n  nereid:plugin/tensors@0.9.0: this server offers nereid:plugin@1.0.0");
}

#[test]
fn a_function_that_the_draft_does_not_have_is_named() {
    let text = r#"(component
        (import "nereid:plugin/logging@1.0.0" (instance (export "shout" (func)))))"#;
    check(&wat::parse_str(text).unwrap(), "another draft of the plugin contract");
    check(&wat::parse_str(text).unwrap(), "shout");
}

#[test]
fn a_missing_export_says_what_there_is_instead() {
    check(&wat::parse_str("(component)").unwrap(), "found no exports at all");
    let text = r#"(component (instance $x) (export "acme:things/run" (instance $x)))"#;
    check(
        &wat::parse_str(text).unwrap(),
        "or nereid:plugin/model@1.0.0 or nereid:plugin-async/model@1.0.0 or nereid:plugin/agent@1.0.0 or nereid:plugin/batching@1.0.0, found acme:things/run",
    );
}

#[test]
fn what_belongs_beside_another_export_is_refused_alone() {
    for (extra, expected, world) in [
        ("nereid:plugin/readiness", "readiness beside model", "full-model-plugin"),
        ("nereid:plugin/draining", "draining beside model", "full-model-plugin"),
        ("nereid:plugin/completion", "completion beside transform or model or async model", "full-model-plugin"),
        ("nereid:plugin-async/readiness", "async readiness beside async model", "full-async-model-plugin"),
        ("nereid:plugin-async/draining", "async draining beside async model", "full-async-model-plugin"),
    ] {
        let bytes = exporting("nereid:plugin/agent", extra);
        check(&bytes, &format!("expected {expected}, found nereid:plugin/agent"));
        check(&bytes, &format!("build it for the world {world}"));
    }
}

#[test]
fn what_returns_is_refused_beside_what_awaits_and_the_other_way_round() {
    for extra in ["readiness", "draining"] {
        let awaiting = exporting("nereid:plugin-async/model", &format!("nereid:plugin/{extra}"));
        check(&awaiting, &format!("expected {extra} beside model, found nereid:plugin-async/model"));
        let returning = exporting("nereid:plugin/model", &format!("nereid:plugin-async/{extra}"));
        check(&returning, &format!("expected async {extra} beside async model, found nereid:plugin"));
    }
}

/// A component with two empty exports.
fn exporting(one: &str, other: &str) -> Vec<u8> {
    let text = format!(
        r#"(component (instance $x) (export "{one}@1.0.0" (instance $x)) (export "{other}@1.0.0" (instance $x)))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn a_guest_that_traps_while_it_starts_fails_the_load() {
    let bytes = component_with(&[], IDENTITY, "(func $begin unreachable) (start $begin)");
    let plugin = Plugin::new(&ENGINE, compile(&bytes), spec());
    let error = SandboxPool::start(plugin, "m_0_0").err().unwrap().to_string();
    assert!(error.starts_with("'model.wasm' cannot be started: plugin 'model.wasm' of model 'm' trapped"), "{error}");
}

#[test]
fn a_guest_that_begins_with_too_much_memory_fails_the_load() {
    let bytes = component_with(&[], IDENTITY, "");
    let mut small = spec();
    small.limits.memory_bytes_max = 1 << 16;
    let error = SandboxPool::start(Plugin::new(&ENGINE, compile(&bytes), small), "m_0_0").err().unwrap().to_string();
    assert!(error.contains("exceed the limit of 0 MiB (memory_mib)"), "{error}");
}

#[tokio::test]
async fn a_second_start_finds_the_code_and_survives_a_damaged_file() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let bytes = component(&[], IDENTITY);
    let serve = || async {
        let engine = PluginEngine::start(Some(cache.clone())).unwrap();
        let compiled = engine.compile("model.wasm", &bytes).unwrap();
        let pool = SandboxPool::start(Plugin::new(&engine, compiled, spec()), "m_0_0").unwrap();
        values(&pool.run(&request(&[3.0]), || false).await.unwrap())
    };
    let files = || fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();

    assert_eq!(serve().await, [3.0]);
    let [artefact] = files().try_into().unwrap();
    let code = fs::read(&artefact).unwrap();

    // A hit leaves the file as it is: nothing is written a second time.
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&artefact).unwrap());
    assert_eq!(serve().await, [3.0]);
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&fs::metadata(&artefact).unwrap()), inode);

    let mut damaged = code.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&artefact, &damaged).unwrap();
    assert_eq!(serve().await, [3.0]);
    assert_eq!(fs::read(&artefact).unwrap().len(), code.len());
    assert_ne!(fs::read(&artefact).unwrap(), damaged);
}
