//! Model directories: what is in them, what of it is served, and how that changes while requests flow.
//!
//! Invariant: a name leads to a ready generation or to an error at every moment; a reload that fails changes nothing.
//! Finding a model costs one atomic load and one hash lookup, and no lock.
//!
//! Deliberately absent: knowledge of what loading means (that is the loader's), wire formats, and any runtime: loading
//! blocks the thread that asks for it.

mod bell;
mod book;
mod busy;
mod changes;
mod check;
mod config_file;
mod control;
mod defaults;
mod ensembles;
mod execute;
mod guard;
mod layout;
mod lifecycle;
mod limits;
mod model_id;
mod ondemand;
mod order;
mod overlay;
mod override_files;
mod parallel;
mod places;
mod plan;
mod platform;
mod poll;
mod prepare;
mod report;
mod repository;
mod route;
mod serve;
mod settings;
mod snapshot;
mod source;
mod standing;
mod swap;
mod unserved;
mod validate;
mod versions;

#[cfg(test)]
mod tests;

pub use crate::{
    check::{Finding, Severity, check},
    config_file::{CONFIG_BYTES_MAX, config_as_json},
    limits::RepositoryLimits,
    ondemand::OnDemand,
    report::{ReportRow, StartReport},
    repository::Repository,
    settings::{ControlMode, RepositorySettings},
};
