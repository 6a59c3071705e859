//! Cuts text into tokens; comments and white space fall away.

use std::ops::Range;

use crate::error::Problem;

/// A piece of text that stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Letters, digits, underscores; not a digit first.
    Word,
    /// A number without its sign.
    Number,
    /// With its quotes.
    String,
    Symbol(char),
    End,
}

/// The tokens of a text, one by one.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

const SYMBOLS: &str = "{}<>[]:,;-./";

// === impl Token ===

impl Token<'_> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    pub(crate) fn is(&self, symbol: char) -> bool {
        self.kind == TokenKind::Symbol(symbol)
    }

    /// How an error calls it.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            TokenKind::Word => format!("'{}'", self.text),
            TokenKind::Number => format!("the number {}", self.text),
            TokenKind::String => format!("the string {}", self.text),
            TokenKind::Symbol(symbol) => format!("'{symbol}'"),
            TokenKind::End => "the end of the file".to_owned(),
        }
    }
}

// === impl Lexer ===

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        // Editors on Windows begin files with a byte order mark.
        let position = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, position }
    }

    pub(crate) fn next(&mut self) -> Result<Token<'a>, Problem> {
        self.skip_blank();
        let rest = self.text.get(self.position..).unwrap_or_default();
        let Some(first) = rest.chars().next() else { return Ok(self.token(TokenKind::End, 0)) };
        match first {
            'a'..='z' | 'A'..='Z' | '_' => Ok(self.token(TokenKind::Word, word_bytes(rest))),
            '0'..='9' => Ok(self.token(TokenKind::Number, number_bytes(rest))),
            '.' if rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => {
                Ok(self.token(TokenKind::Number, number_bytes(rest)))
            }
            '"' | '\'' => self.string(rest, first),
            _ if SYMBOLS.contains(first) => Ok(self.token(TokenKind::Symbol(first), first.len_utf8())),
            _ => {
                let span = self.position..self.position + first.len_utf8();
                Err(Problem::new(span, format!("unexpected character {first:?}"))
                    .help("a field begins with its name, for example max_batch_size: 8"))
            }
        }
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.text.get(self.position..).unwrap_or_default();
            let trimmed = rest.trim_start();
            self.position += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.position += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self, kind: TokenKind, length: usize) -> Token<'a> {
        let start = self.position;
        self.position += length;
        Token { kind, text: self.text.get(start..self.position).unwrap_or_default(), start }
    }

    fn string(&mut self, rest: &'a str, quote: char) -> Result<Token<'a>, Problem> {
        let mut escaped = false;
        for (offset, character) in rest.char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => return Ok(self.token(TokenKind::String, offset + 1)),
                _ => {}
            }
        }
        let line = rest.lines().next().unwrap_or_default();
        Err(Problem::new(self.position..self.position + line.len(), "the string does not end on its line")
            .help(format!("close it with {quote}; a line break inside a string is written \\n")))
    }
}

fn word_bytes(rest: &str) -> usize {
    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// Everything that could belong to a number; whether it is one is seen when its value is taken.
fn number_bytes(rest: &str) -> usize {
    let mut before = ' ';
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    for (offset, character) in rest.char_indices() {
        let exponent_sign = matches!(character, '+' | '-') && matches!(before, 'e' | 'E') && !hex;
        if !(character.is_ascii_alphanumeric() || matches!(character, '.' | '_') || exponent_sign) {
            return offset;
        }
        before = character;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut lexer = Lexer::new(text);
        let mut found = Vec::new();
        loop {
            match lexer.next() {
                Ok(token) if token.kind == TokenKind::End => break,
                Ok(token) => found.push(token.text.to_owned()),
                Err(problem) => {
                    found.push(problem.problem);
                    break;
                }
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn cuts_words_numbers_strings_and_symbols() {
        check("a_1: -1.5e-3,'x\\'y' # note\n<0x1F>", &["a_1", ":", "-", "1.5e-3", ",", "'x\\'y'", "<", "0x1F", ">"]);
        check("\u{feff}name", &["name"]);
    }

    #[test]
    fn refuses_open_strings_and_foreign_characters() {
        check("a: \"b\nc\"", &["a", ":", "the string does not end on its line"]);
        check("a: \"b\\", &["a", ":", "the string does not end on its line"]);
        check("a = 1", &["a", "unexpected character '='"]);
    }
}
