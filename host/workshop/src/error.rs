//! What goes wrong, each in words for the author of a plugin.

use std::{io, path::PathBuf};

use nereid_plugin::PluginError;
use nereid_toolchains::Failure;

/// Any of it.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("'{name}' cannot be the name of a plugin: {problem}")]
    Name { name: String, problem: String },
    #[error("{} is there already: choose another name, or remove it first", folder.display())]
    Exists { folder: PathBuf },
    #[error("a plugin for the world '{world}' is begun in Rust: --lang rust; {language} has no SDK for it yet")]
    OnlyRust { world: &'static str, language: &'static str },
    #[error(
        "{} holds no plugin: there is no Cargo.toml, plugin.py, plugin.js, plugin.c or plugin.go; 'nereid plugin new' begins one", folder.display()
    )]
    NoSource { folder: PathBuf },
    #[error(
        "{} holds TypeScript: make plugin.js of it first, 'tsc --module es2022 --target es2022 plugin.ts'", folder.display()
    )]
    TypeScript { folder: PathBuf },
    #[error("{} holds {files}: a plugin is written in one language", folder.display())]
    SeveralSources { folder: PathBuf, files: String },
    #[error(
        "there is no cargo in PATH: plugins in Rust are built with Rust's own tools, from rustup or the system's packages"
    )]
    NoRust,
    #[error(
        "plugins in {language} need {purpose}, which is not in {searched}; this command fetches it:\n  nereid plugin setup {language}"
    )]
    NoToolchain { language: &'static str, purpose: &'static str, searched: String },
    #[error("there is nowhere to fetch a compiler to: set HOME")]
    NoHome,
    #[error("{0}")]
    Toolchain(Failure),
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

// === impl WorkshopError ===

impl From<Failure> for WorkshopError {
    fn from(failure: Failure) -> Self {
        Self::Toolchain(failure)
    }
}
