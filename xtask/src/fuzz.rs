//! `cargo xtask fuzz`: libFuzzer against everything that reads what others wrote. The targets are in `tests/fuzz`.
//!
//! Promises: a stable toolchain and a C++ compiler are enough; what `cargo xtask test` has built is not built again, only
//! the host's own crates are, with coverage counters (see [`instrument`]). What a run learns is kept in
//! `target/fuzz/corpus`; an input that fails is kept in `target/fuzz/findings` and named with the command that repeats it.

pub(crate) mod instrument;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    arguments::Arguments,
    command::{announce, cargo, run as run_command, run_with_heartbeat, succeeds},
    failure::Failure,
    setup::debian,
    workspace::{Workspace, create_folder},
};

/// The cargo workspace of the targets.
pub(crate) const FOLDER: &str = "tests/fuzz";

/// Every target: a file in `tests/fuzz/targets`, a `[[bin]]` in its manifest and a line here.
pub(crate) const TARGETS: [&str; 9] = [
    "http_infer",
    "generate",
    "grpc_infer",
    "config_text",
    "decompress",
    "forest",
    "image",
    "python_frames",
    "tokenizer",
];

const SECONDS_DEFAULT: u32 = 60;

/// Larger inputs only repeat what smaller ones do.
const INPUT_BYTES_MAX: usize = 4096;
/// The whole process: libFuzzer itself takes some 50 MiB, an input of 4 KiB may not take twenty times that.
const MEMORY_MIB_MAX: usize = 1024;
/// Inputs take microseconds; five seconds are a quadratic algorithm, or a very busy machine.
const INPUT_SECONDS_MAX: u32 = 5;

/// A panic with its place, and what libFuzzer says of the input.
const LOG_LINES_SHOWN: usize = 20;

pub(crate) fn run(workspace: &Workspace, mut arguments: Arguments) -> Result<(), Failure> {
    let seconds = arguments.value("--seconds")?.unwrap_or(SECONDS_DEFAULT);
    let input: Option<PathBuf> = arguments.value("--input")?;
    let names = arguments.rest();
    if let Some(unknown) = names.iter().find(|name| !TARGETS.contains(&name.as_str())) {
        return Err(Failure::new(format!("no fuzz target '{unknown}', expected one of {}", TARGETS.join(", "))));
    }
    let chosen = |target: &&str| names.is_empty() || names.iter().any(|name| name == target);
    let targets: Vec<&str> = TARGETS.into_iter().filter(chosen).collect();
    build(workspace)?;
    match (input, targets.as_slice()) {
        (None, targets) => targets.iter().try_for_each(|target| fuzz(workspace, target, seconds)),
        (Some(input), [target]) => run_command(program(workspace, target).arg(workspace.root().join(input))),
        (Some(_), _) => Err(Failure::new("--input needs the one target that is to read it")),
    }
}

/// Builds every target, with counters in the host's own crates.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    if !succeeds(Command::new("c++").arg("--version")) {
        debian::install(&["g++"], "compiling libFuzzer")?;
    }
    announce("building the fuzz targets (the first time, about a minute)");
    let mut command = cargo(&workspace.path(FOLDER));
    command.args(["build", "--bins", "--target-dir"]).arg(workspace.path("target"));
    instrument::apply(&mut command)?;
    run_command(&mut command)
}

/// Reads every seed, then goes on from them and from what earlier runs found; says what it came to.
pub(crate) fn fuzz(workspace: &Workspace, target: &str, seconds: u32) -> Result<(), Failure> {
    let corpus = workspace.path("target/fuzz/corpus").join(target);
    let findings = workspace.path("target/fuzz/findings").join(target);
    create_folder(&corpus)?;
    create_folder(&findings)?;
    let log = workspace.path("target/fuzz").join(format!("{target}.log"));
    let output = File::create(&log).map_err(Failure::io(format_args!("write {}", log.display())))?;
    let errors = output.try_clone().map_err(Failure::io(format_args!("write {}", log.display())))?;
    let mut command = program(workspace, target);
    command.stdout(output).stderr(errors).args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-artifact_prefix={}/", findings.display()),
    ]);
    let dictionary = workspace.path(FOLDER).join(format!("dictionaries/{target}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    announce(format_args!("fuzzing {target} for {seconds} s (log: {})", workspace.show(&log)));
    let outcome = run_with_heartbeat(command.arg(&corpus).arg(seeds(workspace, target)));
    let said = fs::read(&log).map_err(Failure::io(format_args!("read {}", log.display())))?;
    let said = String::from_utf8_lossy(&said);
    match outcome {
        Ok(()) => println!("    {}", summary(&said)),
        Err(failure) => return Err(explain(workspace, target, (&failure, &said))),
    }
    Ok(())
}

/// The line that closes a log, which counts edges (`cov`), features and executions: `#52 DONE cov: 7 ft: 9 …`.
fn summary(log: &str) -> &str {
    log.lines().rev().find(|line| line.contains("DONE")).map_or("the log says nothing", str::trim)
}

/// The end of the log, which has the panic or the limit, and what to do with the input.
fn explain(workspace: &Workspace, target: &str, (failure, log): (&Failure, &str)) -> Failure {
    let is_noise = |line: &&str| line.starts_with('#') || line.contains("NEW_FUNC");
    let mut tail: Vec<&str> = log.lines().rev().filter(|line| !is_noise(line)).take(LOG_LINES_SHOWN).collect();
    tail.reverse();
    let findings = workspace.show(&workspace.path("target/fuzz/findings").join(target));
    let seeds = workspace.show(&seeds(workspace, target));
    Failure::new(format!(
        "{failure}\n{}\nthe input lies in {findings}; repeat it with `cargo xtask fuzz {target} --input FILE`, and add it to \
         {seeds} with the change that mends it",
        tail.join("\n")
    ))
}

fn seeds(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.path(FOLDER).join("seeds").join(target)
}

fn program(workspace: &Workspace, target: &str) -> Command {
    let mut command = Command::new(workspace.path("target/debug").join(format!("fuzz_{target}")));
    command.current_dir(Path::new(workspace.root()));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_log_is_its_summary() {
        let log = "INFO: seed\n#10 NEW cov: 3\n#52\tDONE   cov: 7 ft: 9 corp: 4\nDone 52 runs in 1 second(s)\n";
        assert_eq!(summary(log), "#52\tDONE   cov: 7 ft: 9 corp: 4");
    }

    #[test]
    fn every_target_has_a_file_seeds_and_a_line_in_the_manifest() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for target in TARGETS {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "no [[bin]] for {target}");
            assert!(fs::read_dir(folder.join("seeds").join(target)).unwrap().count() > 3, "few seeds for {target}");
        }
        assert_eq!(fs::read_dir(folder.join("targets")).unwrap().count(), TARGETS.len());
    }
}
