//! `cargo xtask mutants`: do the simulations bite? Each fault of `tests/mutations/policies.txt` is planted in a copy of the
//! sources, and the simulations of its crate must fail because of it.
//!
//! Promises: the working tree is read and never written, and nothing that is compiled here is ever taken for the working
//! tree's: the copy has a target folder of its own. Fails when a fault is not found, when its text is not where the list says,
//! or when it does not compile. Costs: about ten seconds per fault on a machine that is idle, most of it the compiler's; hence
//! not a part of CI.

mod list;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

use self::list::Fault;
use crate::{
    arguments::Arguments,
    command::{announce, capture, cargo},
    failure::Failure,
    workspace::{Workspace, create_folder},
};

const LIST: &str = "tests/mutations/policies.txt";

/// Where the crates of the list are.
const SOURCES: &str = "host";

/// What the tests of a crate that are simulations have in their names.
const SIMULATIONS: &str = "simulation";

/// The copy, below the target folder: ignored by git.
const COPY: &str = "target/mutants";

/// Cargo names what it compiles by the path within the workspace, and looks at times: in one folder with the working tree's,
/// a fault would be what the working tree's next test runs.
const TARGET: &str = "target/mutants/target";

/// Seeds of each simulation, as in CI.
const SEEDS: u64 = 1_000;

/// How one fault was found.
struct Finding {
    simulation: String,
    seed: String,
    /// What the simulation said.
    words: String,
}

pub(crate) fn run(workspace: &Workspace, mut arguments: Arguments) -> Result<(), Failure> {
    let only_list = arguments.flag("--list");
    let seeds = arguments.value("--seeds")?.unwrap_or(SEEDS);
    let names = arguments.rest();
    let path = workspace.path(LIST);
    let text = fs::read_to_string(&path).map_err(Failure::io(format_args!("read {}", path.display())))?;
    let chosen = |fault: &Fault| names.is_empty() || names.iter().any(|name| fault.name.contains(name.as_str()));
    let faults: Vec<Fault> = list::parse(&text)?.into_iter().filter(chosen).collect();
    if only_list {
        faults.iter().for_each(|fault| println!("{:40} {}", fault.file, fault.name));
        return Ok(());
    }
    let copy = Copy::make(workspace, seeds)?;
    for name in faults.iter().map(Fault::crate_name).collect::<BTreeSet<_>>() {
        announce(format_args!("the simulations of {name} without a fault"));
        if let Some(finding) = copy.test(name)? {
            return Err(Failure::new(format!("they fail by themselves: seed {}: {}", finding.seed, finding.words)));
        }
    }
    let mut missed = Vec::new();
    println!("\n| fault | found by | seed | because | seconds |\n|---|---|---|---|---|");
    for fault in &faults {
        let started = Instant::now();
        let row = match copy.test_with(fault)? {
            Some(Finding { simulation, seed, words }) => format!("{simulation} | {seed} | {words}"),
            None => {
                missed.push(fault.name.as_str());
                "**nobody** | – | –".to_owned()
            }
        };
        println!("| {} | {row} | {:.0} |", fault.name, started.elapsed().as_secs_f64());
    }
    println!("\n{} of {} faults found", faults.len() - missed.len(), faults.len());
    match missed.as_slice() {
        [] => Ok(()),
        missed => Err(Failure::new(format!("not found: {}", missed.join("; ")))),
    }
}

/// A copy of the repository's sources.
struct Copy {
    root: PathBuf,
    target: PathBuf,
    seeds: u64,
}

// === impl Copy ===

impl Copy {
    /// Copies what git knows and what it does not ignore, as it is now.
    fn make(workspace: &Workspace, seeds: u64) -> Result<Self, Failure> {
        let copy = Self { root: workspace.path(COPY), target: workspace.path(TARGET), seeds };
        announce(format_args!("copying the sources to {}", workspace.show(&copy.root)));
        let mut git = Command::new("git");
        git.current_dir(workspace.root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        for file in capture(&mut git)?.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (workspace.path(file), copy.root.join(file));
            // What is deleted and not committed yet is not there; links and folders are nothing to compile.
            if from.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                copy_if_changed(&from, &to)?;
            }
        }
        Ok(copy)
    }

    fn test_with(&self, fault: &Fault) -> Result<Option<Finding>, Failure> {
        let path = self.root.join(SOURCES).join(&fault.file);
        let read = fs::read_to_string(&path).map_err(Failure::io(format_args!("read {}", path.display())))?;
        write(&path, &fault.plant(&read)?)?;
        let found = self.test(fault.crate_name());
        write(&path, &read)?;
        found.map_err(|failure| Failure::new(format!("fault '{}': {failure}", fault.name)))
    }

    /// Runs the simulations of a crate; `None` when they pass.
    fn test(&self, crate_name: &str) -> Result<Option<Finding>, Failure> {
        let built = self.cargo_test(crate_name, &["--no-run"])?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr);
            return Err(Failure::new(format!("does not compile:\n{}", said.trim())));
        }
        let tested = self.cargo_test(crate_name, &["--", SIMULATIONS])?;
        if tested.status.success() {
            return Ok(None);
        }
        let said = format!("{}{}", String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
        Finding::read(&said).map(Some).ok_or_else(|| Failure::new(format!("no seed in what the tests said:\n{said}")))
    }

    fn cargo_test(&self, crate_name: &str, arguments: &[&str]) -> Result<Output, Failure> {
        let mut command = cargo(&self.root);
        let package = format!("nereid-{crate_name}");
        command.args(["test", "--quiet", "--offline", "-p", &package, "--lib"]).args(arguments);
        command.env("CARGO_TARGET_DIR", &self.target).env("NEREID_SEEDS", self.seeds.to_string());
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        command.output().map_err(Failure::io("start cargo test"))
    }
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<(), Failure> {
    let bytes = fs::read(from).map_err(Failure::io(format_args!("read {}", from.display())))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    to.parent().map_or(Ok(()), create_folder)?;
    fs::write(to, bytes).map_err(Failure::io(format_args!("write {}", to.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::io(format_args!("write {}", path.display())))
}

// === impl Finding ===

impl Finding {
    /// Whose thread panicked: the module before the simulation, or what is below it.
    fn simulation(line: &str) -> Option<&str> {
        let thread = line.split_once("thread '")?.1.split_once("' ")?.0;
        let (before, after) = thread.split_once(SIMULATIONS)?;
        match before.trim_end_matches("::") {
            "" => after.trim_start_matches("::").split("::").next(),
            module => Some(module),
        }
    }

    /// From what the tests said: the simulation that failed first, its seed, and its words.
    fn read(said: &str) -> Option<Self> {
        let line = said.lines().find(|line| line.contains("replay it with NEREID_SEED="))?;
        let seed = line.split("NEREID_SEED=").nth(1)?.trim().to_owned();
        let hangs = line.contains(" hangs: ");
        let panic = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
        let words = if hangs { "it turns in a circle" } else { panic.unwrap_or("-") };
        let words = words.trim_start_matches("assertion `left == right` failed: ");
        let simulation = said.lines().find_map(Self::simulation).unwrap_or("-").to_owned();
        Some(Self { simulation, seed, words: words.replace('|', "/") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_simulation_seed_and_words() {
        let said = "thread 'simulation::requests::x' panicked at host/scheduler/src/simulation/requests.rs:1:2:\n\
                    a request was lost\nseed 7 failed: replay it with NEREID_SEED=7\n";
        let finding = Finding::read(said).unwrap();
        assert_eq!((&*finding.simulation, &*finding.seed, &*finding.words), ("requests", "7", "a request was lost"));
        let elsewhere = said.replace("simulation::requests::x", "ensemble::journey::simulation::x");
        assert_eq!(Finding::read(&elsewhere).unwrap().simulation, "ensemble::journey");
        assert!(Finding::read("test result: ok").is_none());
    }
}
