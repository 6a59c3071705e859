//! Running other programs: announced, with their output passed on, and with an error that names the command.

use std::{
    io::{BufRead, BufReader, IsTerminal, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::Failure;

const HEARTBEAT: Duration = Duration::from_secs(5);

/// Says what comes next, so that a silence of a minute has an explanation above it.
pub fn announce(text: impl std::fmt::Display) {
    println!("==> {text}");
    let _ = std::io::stdout().flush();
}

/// Runs `command` with its output on ours.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    println!("    $ {}", describe(command));
    let status =
        command.stdin(Stdio::null()).status().map_err(Failure::io(format_args!("start {}", describe(command))))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("`{}` ended with {status}", describe(command)))),
    }
}

/// Runs a program that says nothing while it works, and says for it that it still does.
pub fn run_with_heartbeat(command: &mut Command) -> Result<(), Failure> {
    println!("    $ {}", describe(command));
    let started = Instant::now();
    let mut next_line = HEARTBEAT;
    let mut child =
        command.stdin(Stdio::null()).spawn().map_err(Failure::io(format_args!("start {}", describe(command))))?;
    loop {
        match child.try_wait().map_err(Failure::io(format_args!("wait for {}", describe(command))))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Failure::new(format!("`{}` ended with {status}", describe(command)))),
            None => thread::sleep(Duration::from_millis(20)),
        }
        if started.elapsed() > next_line {
            println!("    … {} s", next_line.as_secs());
            next_line += HEARTBEAT;
        }
    }
}

/// Runs `command` quietly and returns its standard output; its standard error only shows in the failure.
pub fn capture(command: &mut Command) -> Result<String, Failure> {
    let output =
        command.stdin(Stdio::null()).output().map_err(Failure::io(format_args!("start {}", describe(command))))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Failure::new(format!("`{}` ended with {}: {}", describe(command), output.status, said.trim())))
        }
    }
}

/// True if the program starts and ends well.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs `command`, passes its output on and shows every line of it to `observe`.
///
/// Two threads read the two pipes and this one prints, so neither pipe can fill up and stall the program.
pub fn run_observed(command: &mut Command, mut observe: impl FnMut(&str)) -> Result<(), Failure> {
    println!("    $ {}", describe(command));
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::io(format_args!("start {}", describe(command))))?;
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || forward_lines(stream, &sender));
    }
    drop(sender);
    for line in receiver {
        println!("{line}");
        observe(&line);
    }
    let status = child.wait().map_err(Failure::io(format_args!("wait for {}", describe(command))))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("`{}` ended with {status}", describe(command)))),
    }
}

fn forward_lines(stream: impl Read, sender: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        if sender.send(text).is_err() {
            return;
        }
        line.clear();
    }
}

/// The `cargo` that runs us, so that a toolchain chosen with `cargo +x xtask` is kept.
pub fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    command
}

/// The command as a person would type it.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .map(|word| if word.contains([' ', '\n']) { "'…'".to_owned() } else { word }),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_what_it_said() {
        let failure = capture(Command::new("sh").args(["-c", "echo out of luck >&2; exit 3"])).unwrap_err().to_string();
        assert!(
            failure.contains("`sh -c '…'`") && failure.contains("3") && failure.contains("out of luck"),
            "{failure}"
        );
    }

    #[test]
    fn every_line_of_both_streams_is_observed() {
        let mut lines = Vec::new();
        run_observed(Command::new("sh").args(["-c", "echo one; echo two >&2"]), |line| lines.push(line.to_owned()))
            .unwrap();
        lines.sort();
        assert_eq!(lines, ["one", "two"]);
    }
}
