//! Rules about Rust files: heads, lengths, `unsafe`.

use super::{
    house::{expect_none, texts},
    rust_source::{code_only, functions},
};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 400;

/// Files that were too long when the rule came, with their lengths then. Entries may shrink and go, never grow or come.
const LONG_FILES: [(&str, usize); 0] = [];

/// Folders whose crates wrap a native library or a runtime's unsafe interface.
const UNSAFE_ALLOWED: [&str; 9] = [
    "host/backends/fil/",
    "host/backends/onnx/",
    "host/backends/openvino/",
    "host/backends/pytorch/",
    "host/backends/tensorrt/",
    "host/gpu/",
    "host/memory/",
    "host/plugin/",
    "host/shared_memory/",
];
/// How far above an `unsafe` its reason may begin.
const SAFETY_LINES_ABOVE: usize = 12;

#[test]
fn every_file_opens_with_what_it_promises() {
    let says_something = |text: &str| text.starts_with("//! ") && !text.starts_with("//! (to be written)");
    let bare: Vec<_> =
        texts("rs").into_iter().filter(|(_, text)| !says_something(text)).map(|(name, _)| name).collect();
    expect_none("open these with `//!`: what the file promises, refuses and costs:", &bare);
}

#[test]
fn a_function_fits_a_screen() {
    let mut long = Vec::new();
    for (name, text) in texts("rs") {
        let functions = functions(&code_only(&text)).into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
        long.extend(
            functions
                .map(|function| format!("{name}:{}: {} has {} lines", function.line, function.name, function.lines)),
        );
    }
    expect_none("split these functions, 70 lines are the limit:", &long);
}

#[test]
fn a_file_does_not_need_scrolling() {
    let mut complaints = Vec::new();
    for (name, text) in texts("rs") {
        let lines = text.lines().count();
        let allowed = LONG_FILES.iter().find(|(long, _)| *long == name).map_or(FILE_LINES_MAX, |(_, lines)| *lines);
        if lines > allowed {
            complaints.push(format!("{name} has {lines} lines, {allowed} are allowed"));
        }
    }
    expect_none("split these files by what they promise (LONG_FILES may only shrink):", &complaints);
    for (name, lines) in LONG_FILES {
        let now = super::house::read(name).lines().count();
        assert!(now == lines, "{name} has {now} lines now: write that into LONG_FILES, or remove its entry");
    }
}

#[test]
fn unsafe_stands_only_where_it_may_and_says_why() {
    let mut complaints = Vec::new();
    for (name, text) in texts("rs") {
        let code = code_only(&text);
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| has_word(line, "unsafe")) {
            let place = format!("{name}:{}: {}", number + 1, line.trim());
            let above = &lines[number.saturating_sub(SAFETY_LINES_ABOVE)..=number];
            if !UNSAFE_ALLOWED.iter().any(|folder| name.starts_with(folder)) {
                complaints.push(format!("{place} (only {} may)", UNSAFE_ALLOWED.join(" and ")));
            } else if !above.iter().any(|line| line.contains("// SAFETY:") || line.contains("/// # Safety")) {
                complaints.push(format!("{place} (no `// SAFETY:` above)"));
            }
        }
    }
    expect_none("`unsafe` needs a crate that may and a reason that can be checked on the spot:", &complaints);
}

#[test]
fn no_test_is_left_out() {
    let is_left_out = |line: &str| line.trim_start().starts_with("#[ignore");
    let found: Vec<_> = texts("rs")
        .into_iter()
        .filter(|(_, text)| code_only(text).lines().any(is_left_out))
        .map(|(name, _)| name)
        .collect();
    expect_none("missing hardware is reported as skipped at run time; nothing is #[ignore]d:", &found);
}

#[test]
fn modules_are_named_after_their_files() {
    // What integration tests share must lie in a `mod.rs`, or cargo takes it for a test of its own.
    let is_misnamed = |name: &String| name.ends_with("/mod.rs") && !name.contains("/tests/");
    let found: Vec<_> = texts("rs").into_iter().map(|(name, _)| name).filter(is_misnamed).collect();
    expect_none("name these `name.rs` beside the folder `name/`:", &found);
}

/// True if `word` stands in `line` and is not part of a longer one such as `unsafe_code`.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}
