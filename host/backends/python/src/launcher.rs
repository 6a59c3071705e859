//! The step between the server and Python: this program, started anew, gives its rights away and becomes the interpreter.
//!
//! What it gives away is gone for good, also for what it starts. Limits on resources and the filter of system calls must be
//! there; what the kernel's Landlock does not know is said and done without. Its number stays the same when it becomes the
//! interpreter, so that the filter can know who it is. Nothing here is `unsafe`: the fork is the standard library's.

use std::{io, os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use serde::{Deserialize, Serialize};

use crate::{files_allowed, syscalls_denied};

/// The hidden verb of the program that runs this.
pub const LAUNCH_VERB: &str = "python-launch";

/// Exit code of a process that did not become Python.
const NOT_LAUNCHED: u8 = 71;

/// What to become, with which rights; the verb's one argument, as JSON.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct LaunchSpec {
    /// The process to die with.
    pub(crate) parent: i32,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) rights: Rights,
}

/// What is left to a confined process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Rights {
    pub(crate) read_paths: Vec<PathBuf>,
    pub(crate) write_paths: Vec<PathBuf>,
    pub(crate) network: bool,
    pub(crate) processes: bool,
    /// A device of CUDA's.
    pub(crate) gpu: bool,
    pub(crate) address_space_bytes: u64,
    pub(crate) file_size_bytes: u64,
    pub(crate) open_files: u64,
}

/// Becomes what the specification says; returns the exit code of the process when that fails.
pub fn launch(specification: &str) -> u8 {
    let problem = match serde_json::from_str::<LaunchSpec>(specification) {
        Ok(spec) => become_it(spec),
        Err(error) => format!("'{LAUNCH_VERB}' is the server's own: {error}"),
    };
    // Standard error is the pipe to the server's log.
    eprintln!("the process cannot be confined: {problem}");
    NOT_LAUNCHED
}

/// Returns only when it fails.
fn become_it(spec: LaunchSpec) -> String {
    let mut command = Command::new(&spec.program);
    command.args(&spec.arguments);
    match confine(&spec) {
        Ok(()) => format!("{}: {}", spec.program.display(), command.exec()),
        Err(problem) => problem,
    }
}

fn confine(spec: &LaunchSpec) -> Result<(), String> {
    die_with(spec.parent)?;
    if let Some(missing) = files_allowed::apply(&spec.rights)? {
        eprintln!("{missing}");
    }
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    let filters = syscalls_denied::filters(&spec.rights, own)?;
    // The last allocations are made before the address space is limited.
    limit_resources(&spec.rights)?;
    syscalls_denied::apply(&filters)
}

/// Ends this process when the server's thread that keeps it does, also when that is over already.
fn die_with(parent: i32) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| format!("PR_SET_PDEATHSIG: {error}"))?;
    match getppid().map(Pid::as_raw_nonzero) {
        Some(found) if found.get() == parent => Ok(()),
        _ => Err("the server is gone".to_owned()),
    }
}

fn limit_resources(rights: &Rights) -> Result<(), String> {
    let limits = [
        (Resource::Core, 0, "core files"),
        (Resource::Nofile, rights.open_files, "open_files"),
        (Resource::Fsize, rights.file_size_bytes, "file_size_mib"),
        (Resource::As, rights.address_space_bytes, "address_space_mib"),
    ];
    for (resource, wanted, name) in limits {
        // Nobody gets more than the server has.
        let most = getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error: rustix::io::Errno| format!("{name}: {}", io::Error::from(error)))?;
    }
    Ok(())
}
