//! The repository as a server sees it, over directories on disk and a loader that only pretends.

mod check;
mod control;
mod ensembles;
mod fake;
#[cfg(feature = "shuttle")]
mod interleavings;
mod memory;
mod namespaces;
mod ondemand;
mod overrides;
mod poll;
mod precision;
mod startup;
mod swaps;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nereid_inference::{ErrorKind, InferenceService, LoadOverrides, ModelControl, ModelState, ServerState};

use self::fake::{Models, ensemble};
use crate::{ControlMode, Repository, Severity, StartReport};

const LOADED: &str = "model:1 READY";

/// The report as lines of `name:version STATE reason`.
fn lines(report: &StartReport) -> Vec<String> {
    let rows = report.rows.iter();
    rows.map(|row| fake::line(&row.model, row.version, Some(row.state), &row.reason)).collect()
}

fn index(repository: &Repository) -> Vec<String> {
    repository.index().iter().map(|entry| fake::line(&entry.name, entry.version, entry.state, &entry.reason)).collect()
}

/// The message of a lookup that must fail.
fn refusal(repository: &Repository, name: &str, version: Option<u64>) -> (ErrorKind, String) {
    let Err(error) = repository.model(name, version) else { panic!("{name} is ready") };
    (error.kind(), error.message().to_owned())
}

/// Which build of the model answers.
fn generation(repository: &Repository, name: &str) -> u64 {
    repository.model(name, None).unwrap().statistics().execution_count
}
