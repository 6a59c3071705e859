//! What is behind `nereid plugin test` and `nereid plugin bench`: a plugin answers given requests, without a server.
//!
//! Invariant: the plugin is loaded and called as a server does it, by the same repository, scheduler, sandbox, limits and
//! grants. Only the models that it calls or controls are stand-ins: what a case gives, or models of a server that runs.
//!
//! Deliberately absent: the command line, building plugins.

mod case;
mod case_file;
mod compare;
mod error;
mod measure;
mod run;
mod stage;
mod stand_in_control;
mod stand_ins;
mod verdict;

pub use crate::{
    case::Case,
    case_file::{CASE_BYTES_MAX, cases_of, read_case},
    error::RehearsalError,
    measure::{ChooseCase, Measurement, measure},
    run::run,
    stage::{Stage, StageSettings},
    verdict::{StepVerdict, Verdict},
};
