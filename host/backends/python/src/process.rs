//! A child process with its whole group: ended once, reaped once, never confused with another of the same number.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
};

use parking_lot::Mutex;
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};

/// A process that leads a group of its own.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Its number is its own until it is reaped.
    is_ours: Mutex<bool>,
}

// === impl Process ===

impl Process {
    /// The process of `child`, which was started as the leader of a group.
    pub(crate) fn of(child: &Child) -> Self {
        Self { pid: Pid::from_child(child), is_ours: Mutex::new(true) }
    }

    /// Ends it and all that it started.
    pub(crate) fn kill(&self) {
        if *self.is_ours.lock() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Waits for its end, ends what it started, and says how it ended. The number is given back only after that.
    pub(crate) fn reap(&self, child: &mut Child) -> String {
        let wait = || waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        while matches!(wait(), Err(Errno::INTR)) {}
        let mut is_ours = self.is_ours.lock();
        let _ = kill_process_group(self.pid, Signal::KILL);
        let status = child.wait();
        *is_ours = false;
        match status {
            Ok(status) => describe(status),
            Err(error) => format!("it cannot be waited for: {error}"),
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}{}", meaning(signal)),
        (None, None) => "it ended".to_owned(),
    }
}

/// What usually is behind a signal.
fn meaning(signal: i32) -> &'static str {
    match signal {
        6 => " (SIGABRT: a library gave up)",
        9 => " (SIGKILL: by the server, an operator, or for want of memory)",
        7 => " (SIGBUS)",
        11 => " (SIGSEGV: a fault in a library)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        25 => " (SIGXFSZ: a file beyond the limit)",
        31 => " (SIGSYS: a system call that is not allowed)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt as _, process::Command};

    use super::*;

    fn check(script: &str, expected: &str) {
        let mut child = Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
        let process = Process::of(&child);
        assert_eq!(process.reap(&mut child), expected);
        process.kill();
    }

    #[test]
    fn the_end_of_a_process_is_told() {
        check("exit 3", "it exited with code 3");
        check("kill -11 $$", "it was ended by signal 11 (SIGSEGV: a fault in a library)");
    }

    #[test]
    fn what_a_process_started_ends_with_it() {
        // The pipe is closed when the last process that has it is gone.
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", "sleep 1000 & exit 0"]).process_group(0).stdout(writer).spawn().unwrap();
        drop(command);
        assert_eq!(Process::of(&child).reap(&mut child), "it exited with code 0");
        assert_eq!(std::io::read_to_string(reader).unwrap(), "");
    }

    #[test]
    fn a_process_is_killed_from_another_thread() {
        let mut child = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let process = Process::of(&child);
        std::thread::scope(|scope| {
            scope.spawn(|| process.kill());
            assert!(process.reap(&mut child).starts_with("it was ended by signal 9"));
        });
    }
}
