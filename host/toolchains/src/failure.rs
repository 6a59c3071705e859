//! The one error of this crate: a text for the person at the keyboard that says what failed and what to do about it.

use std::fmt;

#[derive(Debug)]
pub struct Failure(String);

// === impl Failure ===

impl Failure {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For `map_err` on I/O: "cannot read /x/y: no such file".
    pub fn io(action: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self(format!("cannot {action}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
