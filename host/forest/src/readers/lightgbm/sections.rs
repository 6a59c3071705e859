//! A text model as sections of `key=value` lines: a header, then one section per tree.

use std::collections::HashMap;

use crate::{ForestError, document::whole};

/// The lines of one section.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    /// What stands before its fields in errors.
    name: String,
    fields: HashMap<&'a str, &'a str>,
}

/// The file, read on from section to section.
pub(crate) struct Sections<'a> {
    rest: &'a str,
    offset: usize,
    line: Option<&'a str>,
}

const END: &str = "end of trees";

// === impl Sections ===

impl<'a> Sections<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut sections = Self { rest: text, offset: 0, line: None };
        sections.next_line();
        sections
    }

    /// Goes on to the next line that is not empty.
    fn next_line(&mut self) {
        self.line = None;
        while self.line.is_none() && !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.offset += self.rest.len() - rest.len();
            self.rest = rest;
            self.line = Some(line.trim()).filter(|line| !line.is_empty());
        }
    }

    /// What stands before the first tree.
    pub(crate) fn header(&mut self) -> Result<Section<'a>, ForestError> {
        if self.line != Some("tree") {
            let found: String = self.line.unwrap_or_default().chars().take(30).collect();
            return Err(ForestError::syntax(
                0,
                format!("expected a LightGBM model that begins with 'tree', found '{found}'"),
            ));
        }
        self.next_line();
        Ok(self.section("header".to_owned()))
    }

    /// The next tree; `None` at the end of all.
    pub(crate) fn tree(&mut self, index: usize) -> Result<Option<Section<'a>>, ForestError> {
        match self.line {
            Some(END) => Ok(None),
            None => Err(ForestError::syntax(self.offset, format!("the file is cut off: '{END}' is missing"))),
            Some(line) if line == format!("Tree={index}") => {
                self.next_line();
                Ok(Some(self.section(format!("tree {index}"))))
            }
            Some(line) => {
                let found: String = line.chars().take(30).collect();
                Err(ForestError::syntax(self.offset, format!("expected 'Tree={index}' or '{END}', found '{found}'")))
            }
        }
    }

    fn section(&mut self, name: String) -> Section<'a> {
        let mut fields = HashMap::new();
        while let Some(line) = self.line.filter(|line| *line != END && !line.starts_with("Tree=")) {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            fields.insert(key, value);
            self.next_line();
        }
        Section { name, fields }
    }
}

// === impl Section ===

impl<'a> Section<'a> {
    pub(crate) fn error(&self, key: &str, problem: impl Into<String>) -> ForestError {
        ForestError::field(format!("{}, {key}", self.name), problem)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).copied()
    }

    pub(crate) fn count(&self, key: &str) -> Result<usize, ForestError> {
        let text = self.get(key).ok_or_else(|| self.error(key, "is missing"))?;
        let number = text.parse().ok().and_then(whole);
        number.ok_or_else(|| self.error(key, format!("is '{text}', expected a whole number from 0")))
    }

    /// The numbers of a list, which must be `count`.
    pub(crate) fn numbers(&self, key: &str, count: usize) -> Result<Vec<f64>, ForestError> {
        let text = self.get(key).ok_or_else(|| self.error(key, "is missing"))?;
        let number = |part: &str| {
            part.parse().map_err(|_| self.error(key, format!("has '{}', expected a number", shorten(part))))
        };
        let numbers = text.split_whitespace().map(number).collect::<Result<Vec<f64>, _>>()?;
        match numbers.len() == count {
            true => Ok(numbers),
            false => Err(self.error(key, format!("has {} numbers, expected {count}", numbers.len()))),
        }
    }

    /// A list that may be left out.
    pub(crate) fn numbers_if_any(&self, key: &str, count: usize) -> Result<Vec<f64>, ForestError> {
        if self.get(key).is_some_and(|text| !text.trim().is_empty()) {
            self.numbers(key, count)
        } else {
            Ok(Vec::new())
        }
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(30).collect()
}
