//! What guests say in the server's log, marked as theirs and limited: lines of the `logging` import, and what their language's
//! runtime writes to standard output and standard error.
//!
//! One budget of bytes per call counts both ways; what is beyond it is dropped, and the log says so once. The streams are cut
//! into lines here; a line without an end is kept until it has one, is too long, or the call is over.

use std::{collections::VecDeque, mem, sync::Arc};

use parking_lot::Mutex;
use tracing::Level;

use crate::{convert, plugin::PluginSpec};

/// A line of a stream that is longer is cut here, so that no guest makes the host keep more.
const LINE_BYTES_MAX: usize = 4096;

/// Lines of standard error that are remembered for the text of a trap: the end of a traceback with its place.
const LAST_WORDS_MAX: usize = 4;

/// The log of one guest; its streams hold clones.
#[derive(Clone)]
pub(crate) struct GuestLog(Arc<Inner>);

/// A stream of a language's runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

struct Inner {
    spec: Arc<PluginSpec>,
    call: Mutex<CallLog>,
}

/// What was said in the call under way.
#[derive(Default)]
struct CallLog {
    bytes: u64,
    /// The last line that the guest logged as an error: mostly says more about a trap than the trap does.
    last_error_line: Option<String>,
    /// The last lines of standard error, oldest first.
    last_words: VecDeque<String>,
    /// Lines that have no end yet.
    output: Vec<u8>,
    error: Vec<u8>,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Kept,
    /// The first one beyond the budget.
    LastStraw,
    Dropped,
}

/// The target under which guests' lines are filtered.
macro_rules! guest_event {
    ($level:expr, $spec:expr, $message:expr) => {
        tracing::event!(target: "nereid::guest", $level, model = %$spec.model, plugin = %$spec.plugin, "{}", $message)
    };
}

// === impl GuestLog ===

impl GuestLog {
    pub(crate) fn new(spec: Arc<PluginSpec>) -> Self {
        Self(Arc::new(Inner { spec, call: Mutex::default() }))
    }

    /// A new call has a new budget.
    pub(crate) fn begin_call(&self) {
        *self.0.call.lock() = CallLog::default();
    }

    /// Writes what has no end of line yet.
    pub(crate) fn end_call(&self) {
        let (output, error) = {
            let mut call = self.0.call.lock();
            (mem::take(&mut call.output), mem::take(&mut call.error))
        };
        self.write_streams_line(Stream::Output, &output);
        self.write_streams_line(Stream::Error, &error);
    }

    /// Whether lines of this level are kept.
    pub(crate) fn is_enabled(level: Level) -> bool {
        match level {
            Level::TRACE => tracing::enabled!(target: "nereid::guest", Level::TRACE),
            Level::DEBUG => tracing::enabled!(target: "nereid::guest", Level::DEBUG),
            Level::INFO => tracing::enabled!(target: "nereid::guest", Level::INFO),
            Level::WARN => tracing::enabled!(target: "nereid::guest", Level::WARN),
            _ => tracing::enabled!(target: "nereid::guest", Level::ERROR),
        }
    }

    /// Writes one line.
    pub(crate) fn write(&self, level: Level, message: &str) {
        let message = on_one_line(&convert::shortened(message));
        if level == Level::ERROR {
            self.0.call.lock().last_error_line = Some(message.clone());
        }
        self.emit(level, &message);
    }

    /// Takes what a guest writes to a stream.
    pub(crate) fn write_stream(&self, stream: Stream, bytes: &[u8]) {
        let lines = self.0.call.lock().cut(stream, bytes);
        lines.iter().for_each(|line| self.write_streams_line(stream, line));
    }

    /// What the guest said last that may explain its end.
    pub(crate) fn last_words(&self) -> Option<String> {
        let call = self.0.call.lock();
        if let Some(line) = &call.last_error_line {
            return Some(format!("the last error it logged: {line}"));
        }
        let lines: Vec<&str> = call.last_words.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| format!("its last lines on stderr: {}", lines.join(" | ")))
    }

    fn write_streams_line(&self, stream: Stream, line: &[u8]) {
        let text = on_one_line(String::from_utf8_lossy(line).trim_end());
        if text.is_empty() {
            return;
        }
        let level = match stream {
            Stream::Output => Level::INFO,
            Stream::Error => {
                self.0.call.lock().remember(text.trim_start());
                Level::WARN
            }
        };
        self.emit(level, &text);
    }

    fn emit(&self, level: Level, message: &str) {
        let spec = &self.0.spec;
        let limit = spec.limits.log_bytes_max;
        let admission = self.0.call.lock().admit(message.len(), limit);
        match admission {
            Admission::Kept => {}
            Admission::Dropped => return,
            Admission::LastStraw => {
                let text = format!("more than {limit} bytes logged in one call: the rest is dropped");
                guest_event!(Level::WARN, spec, text);
                return;
            }
        }
        match level {
            Level::TRACE => guest_event!(Level::TRACE, spec, message),
            Level::DEBUG => guest_event!(Level::DEBUG, spec, message),
            Level::INFO => guest_event!(Level::INFO, spec, message),
            Level::WARN => guest_event!(Level::WARN, spec, message),
            _ => guest_event!(Level::ERROR, spec, message),
        }
    }
}

// === impl CallLog ===

impl CallLog {
    fn admit(&mut self, length: usize, bytes_max: u64) -> Admission {
        let before = self.bytes;
        self.bytes = before.saturating_add(length as u64 + 1);
        match self.bytes > bytes_max {
            false => Admission::Kept,
            true if before <= bytes_max => Admission::LastStraw,
            true => Admission::Dropped,
        }
    }

    fn partial(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }

    /// The lines that are whole now.
    fn cut(&mut self, stream: Stream, bytes: &[u8]) -> Vec<Vec<u8>> {
        let partial = self.partial(stream);
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            for part in text.chunks(LINE_BYTES_MAX) {
                if partial.len() + part.len() > LINE_BYTES_MAX {
                    lines.push(mem::take(partial));
                }
                partial.extend_from_slice(part);
            }
            if is_whole {
                lines.push(mem::take(partial));
            }
        }
        lines
    }

    fn remember(&mut self, line: &str) {
        if self.last_words.len() == LAST_WORDS_MAX {
            self.last_words.pop_front();
        }
        self.last_words.push_back(convert::shortened(line));
    }
}

/// A guest cannot forge lines of the log or move the terminal's cursor.
fn on_one_line(message: &str) -> String {
    if !message.contains(char::is_control) {
        return message.to_owned();
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: Vec<Vec<u8>>) -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(on_one_line("a\nb\u{1b}[2Jü"), "a\\nb\\u{1b}[2Jü");
    }

    #[test]
    fn a_line_may_come_in_pieces_and_streams_do_not_mix() {
        let mut call = CallLog::default();
        assert!(call.cut(Stream::Output, b"one").is_empty());
        assert_eq!(texts(call.cut(Stream::Error, b"a\nb")), ["a"]);
        assert_eq!(texts(call.cut(Stream::Output, b" two\n\nthree\nfour")), ["one two", "", "three"]);
        assert_eq!((call.output.as_slice(), call.error.as_slice()), (b"four".as_slice(), b"b".as_slice()));
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_never_kept_whole() {
        let mut call = CallLog::default();
        let lines = call.cut(Stream::Error, &vec![b'x'; 3 * LINE_BYTES_MAX + 5]);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_BYTES_MAX; 3]);
        assert_eq!(call.error.len(), 5);
        for _ in 0..10_000 {
            call.cut(Stream::Error, b"yy");
            assert!(call.error.len() <= LINE_BYTES_MAX);
        }
    }

    #[test]
    fn the_budget_is_told_once() {
        let mut call = CallLog::default();
        let admitted: Vec<Admission> = (0..4).map(|_| call.admit(9, 20)).collect();
        assert_eq!(admitted, [Admission::Kept, Admission::Kept, Admission::LastStraw, Admission::Dropped]);
    }

    #[test]
    fn the_end_of_a_traceback_is_remembered() {
        let mut call = CallLog::default();
        for line in ["Traceback", "File a", "x()", "File b", "y()", "ValueError: no"] {
            call.remember(line);
        }
        assert_eq!(call.last_words, ["x()", "File b", "y()", "ValueError: no"]);
    }
}
