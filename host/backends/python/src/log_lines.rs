//! What a model's process writes to standard output and standard error, as lines of the server's log.
//!
//! Both are one pipe, so that their order is kept. Lines are cut at a length, and what one process writes in a second is
//! limited; the last lines are kept to explain its end.

use std::{
    collections::VecDeque,
    io::{PipeReader, Read as _},
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_inference::ModelIdentity;
use parking_lot::{Condvar, Mutex};

/// A longer line is cut here.
const LINE_BYTES_MAX: usize = 4096;

/// Lines that explain the end of a process: the foot of a traceback.
const LAST_LINES_MAX: usize = 4;

/// How long the text of an error waits for lines that a process has written and nobody has read yet. Only what the process
/// started and let go can hold the pipe open for as long.
const UNREAD_WAIT: Duration = Duration::from_secs(1);

const SECOND: Duration = Duration::from_secs(1);

/// The end of what a process wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    read: Mutex<Lines>,
    all_read: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    last: VecDeque<String>,
    are_all: bool,
}

/// Bytes per second.
#[derive(Debug)]
struct Allowance {
    limit: usize,
    since: Instant,
    used: usize,
}

// === impl LastLines ===

impl LastLines {
    /// What a process that has ended wrote last, for the text of an error. Its end is noticed at once, its lines are read by
    /// a thread of their own: this waits, though not for ever, until that has come to the end.
    pub(crate) fn text(&self) -> String {
        let mut lines = self.0.read.lock();
        self.0.all_read.wait_while_for(&mut lines, |lines| !lines.are_all, UNREAD_WAIT);
        match lines.last.is_empty() {
            true => String::new(),
            false => format!("; its last lines: {}", Vec::from_iter(lines.last.iter().map(String::as_str)).join(" | ")),
        }
    }

    fn remember(&self, line: &str) {
        let last = &mut self.0.read.lock().last;
        if last.len() == LAST_LINES_MAX {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }

    /// No more lines come.
    fn end(&self) {
        self.0.read.lock().are_all = true;
        self.0.all_read.notify_all();
    }
}

/// Reads until the process has closed its end.
pub(crate) fn copy(mut pipe: PipeReader, model: &ModelIdentity, last_lines: &LastLines, bytes_per_second: usize) {
    let mut allowance = Allowance { limit: bytes_per_second, since: Instant::now(), used: 0 };
    let mut write = |line: &[u8]| {
        let text = on_one_line(String::from_utf8_lossy(line).trim_end());
        if text.is_empty() {
            return;
        }
        last_lines.remember(text.trim_start());
        match allowance.take(text.len() + 1, Instant::now()) {
            Some(true) => tracing::info!(target: "nereid::python", model = %model, "{text}"),
            Some(false) => {
                tracing::warn!(target: "nereid::python", model = %model, "more than {bytes_per_second} bytes in a second: the rest of it is dropped (python-log)");
            }
            None => {}
        }
    };
    let mut line = Vec::new();
    let mut bytes = [0; LINE_BYTES_MAX];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => cut(&mut line, bytes.get(..count).unwrap_or_default(), &mut write),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    write(&line);
    last_lines.end();
}

/// Hands out the lines that are whole, or long enough.
fn cut(line: &mut Vec<u8>, bytes: &[u8], write: &mut impl FnMut(&[u8])) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        line.extend_from_slice(piece);
        if piece.ends_with(b"\n") || line.len() >= LINE_BYTES_MAX {
            write(line);
            line.clear();
        }
    }
}

/// A model cannot forge lines of the log or move the terminal's cursor.
pub(crate) fn on_one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let escape = |c: char| if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

// === impl Allowance ===

impl Allowance {
    /// Whether as many bytes may be written; `Some(false)` for the first that may not.
    fn take(&mut self, bytes: usize, now: Instant) -> Option<bool> {
        if now.saturating_duration_since(self.since) >= SECOND {
            (self.since, self.used) = (now, 0);
        }
        let before = self.used;
        self.used = before.saturating_add(bytes);
        match self.used <= self.limit {
            true => Some(true),
            false => (before <= self.limit).then_some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_whole_or_long_and_cannot_forge_others() {
        let (mut line, mut written) = (Vec::new(), Vec::new());
        let mut write = |line: &[u8]| written.push(on_one_line(String::from_utf8_lossy(line).trim_end()));
        cut(&mut line, b"one\ntw", &mut write);
        cut(&mut line, b"o\n\x1b[2J\n", &mut write);
        cut(&mut line, &[b'x'; LINE_BYTES_MAX + 1], &mut write);
        assert_eq!(written[..3], ["one", "two", "\\u{1b}[2J"]);
        assert_eq!((written[3].len(), line.len()), (LINE_BYTES_MAX + 1, 0));
    }

    #[test]
    fn the_allowance_is_told_once_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance { limit: 10, since: start, used: 0 };
        let taken: Vec<_> = (0..4).map(|_| allowance.take(5, start)).collect();
        assert_eq!(taken, [Some(true), Some(true), Some(false), None]);
        assert_eq!(allowance.take(5, start + SECOND), Some(true));
    }

    #[test]
    fn the_last_lines_explain_an_end() {
        let last_lines = LastLines::default();
        let read = |text: &str| {
            let (pipe, mut process) = std::io::pipe().unwrap();
            process.write_all(text.as_bytes()).unwrap();
            drop(process);
            copy(pipe, &ModelIdentity::new("m", 1), &last_lines, usize::MAX);
        };
        read("");
        assert_eq!(last_lines.text(), "");
        read("a\nb\nc\nd\ne");
        assert_eq!(last_lines.text(), "; its last lines: b | c | d | e");
    }

    #[test]
    fn lines_that_are_read_after_the_end_was_noticed_explain_it_too() {
        let last_lines = LastLines::default();
        let (pipe, mut process) = std::io::pipe().unwrap();
        process.write_all(b"why\n").unwrap();
        let (asks, asked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let text = scope.spawn(|| {
                asks.send(()).unwrap();
                last_lines.text()
            });
            asked.recv().unwrap();
            drop(process);
            copy(pipe, &ModelIdentity::new("m", 1), &last_lines, usize::MAX);
            assert_eq!(text.join().unwrap(), "; its last lines: why");
        });
    }

    #[test]
    fn a_pipe_that_somebody_holds_open_delays_the_text_and_does_not_keep_it() {
        let (last_lines, start) = (LastLines::default(), Instant::now());
        last_lines.remember("why");
        assert_eq!(last_lines.text(), "; its last lines: why");
        assert!(start.elapsed() >= UNREAD_WAIT, "it did not wait for what was not read yet");
    }
}
