//! Coverage counters for libFuzzer, in the host's own crates only.
//!
//! cargo can set flags for all crates or for none, and other flags mean that every outside crate is compiled anew. So
//! xtask puts itself between cargo and rustc (`RUSTC_WRAPPER`): it adds the counters where a crate is ours and passes every
//! other command on as it is. The flags are stable ones; no sanitizer is linked, because the code has no `unsafe`.
//!
//! cargo does not see the flags. The crates of another cargo workspace have file names of their own, so the counters never
//! reach a build without them; after a change of the list below, run `cargo clean -p nereid-protocol` and the like there.

use std::{env, ffi::OsString, os::unix::process::CommandExt, process::Command};

use crate::failure::Failure;

/// Set in the environment of cargo; its presence turns xtask into the wrapper.
const VARIABLE: &str = "NEREID_XTASK_INSTRUMENT";

/// Edges as 8-bit counters with their places, and the operands of comparisons, from which libFuzzer learns values.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// Makes `cargo` compile through us.
pub(super) fn apply(cargo: &mut Command) -> Result<(), Failure> {
    let own_path = env::current_exe().map_err(Failure::io("find the path of xtask"))?;
    cargo.env("RUSTC_WRAPPER", own_path).env(VARIABLE, "1");
    Ok(())
}

/// Whether this process was started by cargo in place of rustc.
pub(crate) fn is_wanted() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Becomes rustc; returns only if that is impossible.
pub(crate) fn become_compiler() -> Failure {
    let mut words = env::args_os().skip(1);
    let Some(compiler) = words.next() else { return Failure::new("cargo did not say which compiler to run") };
    let words: Vec<OsString> = words.collect();
    let mut command = Command::new(&compiler);
    command.args(&words);
    if is_ours(&words) {
        command.args(FLAGS);
    }
    Failure::io(format_args!("start {}", compiler.display()))(command.exec())
}

/// True for the host's crates and the targets; their build scripts are called `build_script_build`.
fn is_ours(words: &[OsString]) -> bool {
    let name = words.iter().skip_while(|word| *word != "--crate-name").nth(1);
    name.and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("nereid_") || name.starts_with("fuzz_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: bool) {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        assert_eq!(is_ours(&words), expected, "{line}");
    }

    #[test]
    fn only_the_hosts_own_crates_get_counters() {
        check("--crate-name nereid_protocol --edition=2024 src/lib.rs", true);
        check("--crate-name fuzz_generate --crate-type bin", true);
        check("--crate-name build_script_build --edition=2024 build.rs", false);
        check("--crate-name serde_json src/lib.rs", false);
        check("-vV", false);
    }
}
