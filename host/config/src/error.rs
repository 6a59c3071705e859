//! What is wrong with a written configuration, shown at its place.
//!
//! Layout, for terminals, logs and the repository index alike:
//!
//! ```text
//! models/m/config.pbtxt:3:1: unknown field 'max_batchsize' in ModelConfig
//!   3 | max_batchsize: 8
//!     | ^^^^^^^^^^^^^
//!     = did you mean 'max_batch_size'?
//! ```

use std::{fmt, ops::Range};

use thiserror::Error;

/// Longest line that is shown whole; of a longer one the part around the column is shown.
/// Wide enough for any terminal, short enough for the index of a repository of generated files.
const LINE_CHARS_MAX: usize = 160;

/// A configuration that cannot be understood.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The text is not a configuration.
    #[error(transparent)]
    Text(Box<TextError>),
    /// The text is not a configuration in JSON.
    #[error("{0}")]
    Json(String),
    /// A message from the wire carries a number that names nothing.
    #[error("{field} has the value {number}, which names nothing")]
    UnknownEnumNumber { field: &'static str, number: i32 },
}

/// One mistake in a text, with its place.
#[derive(Debug, Error)]
pub struct TextError {
    pub origin: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What was found.
    pub problem: String,
    /// What would be right; may be empty.
    pub help: String,
    line_text: String,
    caret: String,
}

/// One mistake, as the parser knows it: by bytes.
#[derive(Debug, Default)]
pub(crate) struct Problem {
    pub(crate) span: Range<usize>,
    pub(crate) problem: String,
    pub(crate) help: String,
}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(span: Range<usize>, problem: impl Into<String>) -> Self {
        Self { span, problem: problem.into(), help: String::new() }
    }

    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// The same mistake with its place in `text` shown.
    pub(crate) fn locate(self, origin: &str, text: &str) -> Box<TextError> {
        let start = text.floor_char_boundary(self.span.start);
        let (before, rest) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_head = before.get(line_start..).unwrap_or_default();
        let line_tail = rest.lines().next().unwrap_or_default();
        let found = rest.get(..self.span.len()).and_then(|found| found.lines().next()).unwrap_or_default();
        let column = line_head.chars().count();
        let hidden = column.saturating_sub(LINE_CHARS_MAX / 2);
        let shown_head: String = line_head.chars().skip(hidden).collect();
        let shown_tail: String = line_tail.chars().take(LINE_CHARS_MAX - shown_head.chars().count()).collect();
        let caret_chars = found.chars().count().clamp(1, shown_tail.chars().count().max(1));
        // Tabs are repeated so that the caret stands right whatever their width.
        let indent: String = shown_head.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        Box::new(TextError {
            origin: origin.to_owned(),
            line: before.matches('\n').count() + 1,
            column: column + 1,
            problem: self.problem,
            help: self.help,
            line_text: format!("{shown_head}{shown_tail}"),
            caret: format!("{indent}{}", "^".repeat(caret_chars)),
        })
    }
}

// === impl TextError ===

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, line, column, problem, help, line_text, caret } = self;
        let margin = " ".repeat(line.to_string().len());
        write!(f, "{origin}:{line}:{column}: {problem}\n  {line} | {line_text}\n  {margin} | {caret}")?;
        if help.is_empty() { Ok(()) } else { write!(f, "\n  {margin} = {help}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place_whatever_comes_before() {
        let text = "a\n\tµ: bad\n";
        let error = Problem::new(7..10, "wrong").help("right").locate("f", text);
        assert_eq!(error.to_string(), "f:2:5: wrong\n  2 | \tµ: bad\n    | \t   ^^^\n    = right");
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        let error = Problem::new(3..3, "ends").locate("f", "abc");
        assert_eq!(error.to_string(), "f:1:4: ends\n  1 | abc\n    |    ^");
        assert_eq!(Problem::new(9..12, "ends").locate("f", "").to_string(), "f:1:1: ends\n  1 | \n    | ^");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = format!("{}!{}", "x".repeat(1000), "y".repeat(1000));
        let error = Problem::new(1000..1001, "here").locate("f", &text);
        assert_eq!((error.column, error.line_text.len()), (1001, LINE_CHARS_MAX));
        assert_eq!(error.line_text.find('!'), error.caret.find('^'));
    }
}
