//! What all compilers have in common.

use std::path::Path;

use crate::{Failure, Home, c, command::announce, go, javascript, python, rust};

/// A compiler of plugins in one language.
#[derive(Clone, Copy, Debug)]
pub struct Toolchain {
    /// The language, as commands name it.
    pub language: &'static str,
    /// What it is, and what fetching it costs.
    pub purpose: &'static str,
    /// Says in a few words what is there, or `None` if it must be fetched.
    pub find: fn(&Home) -> Option<String>,
    pub fetch: fn(&Home) -> Result<(), Failure>,
}

/// What a plugin in a language without a build tool of its own is made from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The folder of its own source.
    pub plugin: &'a Path,
    /// The folder of the language's SDK.
    pub sdk: &'a Path,
    /// The folder of the contract.
    pub wit: &'a Path,
    /// The world of the contract that it exports.
    pub world: &'a str,
}

// === impl Toolchain ===

impl Toolchain {
    pub const RUST: Self = Self {
        language: "rust",
        purpose: "a Rust compiler for WebAssembly components",
        find: rust::describe,
        fetch: rust::fetch,
    };
    pub const PYTHON: Self = Self {
        language: "python",
        purpose: "componentize-py, which compiles Python plugins (30 MB download)",
        find: python::find,
        fetch: python::fetch,
    };
    pub const JAVASCRIPT: Self = Self {
        language: "javascript",
        purpose: "componentize-qjs, which compiles JavaScript plugins (15 MB download, 60 more without Node.js)",
        find: javascript::find,
        fetch: javascript::fetch,
    };
    pub const C: Self = Self {
        language: "c",
        purpose: "Zig's C compiler, which compiles C plugins (100 MB download)",
        find: c::find,
        fetch: c::fetch,
    };
    pub const GO: Self = Self {
        language: "go",
        purpose: "Go's compiler, which compiles Go plugins (75 MB download)",
        find: go::find,
        fetch: go::fetch,
    };

    /// Fetches it unless it is there.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn ensure(&self, home: &Home) -> Result<(), Failure> {
        if let Some(found) = (self.find)(home) {
            announce(format_args!("{}: {found}", self.language));
            return Ok(());
        }
        announce(format_args!("{}: fetching {}", self.language, self.purpose));
        (self.fetch)(home)?;
        let Some(found) = (self.find)(home) else {
            return Err(Failure::new(format!("{} is still not usable after it was fetched", self.purpose)));
        };
        announce(format_args!("{}: {found}", self.language));
        Ok(())
    }
}
