//! `cargo xtask test`: everything that CI runs, in one order, each step timed, with a table and a count at the end.
//!
//! A step that fails fails the whole; the steps that need its result are not run, the others are. The last line is
//! `N passed, N failed`: tests where a step has tests, else the step itself.

mod steps;

use std::time::{Duration, Instant};

use crate::{
    arguments::Arguments, checks::steps::STEPS, command::announce, failure::Failure, tally::Tally, workspace::Workspace,
};

/// One thing that CI checks.
struct Step {
    name: &'static str,
    purpose: &'static str,
    /// Steps without whose success this one makes no sense.
    needs: &'static [&'static str],
    /// Part of a run without `--only`.
    by_default: bool,
    run: fn(&Workspace, &mut Tally) -> Result<(), Failure>,
}

enum Outcome {
    Passed,
    Failed(Failure),
    NotRun { because: &'static str },
}

struct Report {
    name: &'static str,
    outcome: Outcome,
    tally: Tally,
    took: Duration,
}

pub(crate) fn run(workspace: &Workspace, mut arguments: Arguments) -> Result<(), Failure> {
    let only = arguments.values("--only")?;
    let list = arguments.flag("--list");
    arguments.finish()?;
    if list {
        STEPS.iter().for_each(|step| println!("  {:<11} {}", step.name, step.purpose));
        return Ok(());
    }
    if let Some(name) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        return Err(Failure::new(format!("unknown step '{name}', expected one of {}", names.join(", "))));
    }
    let is_chosen =
        |step: &&Step| if only.is_empty() { step.by_default } else { only.iter().any(|name| name == step.name) };
    let mut reports: Vec<Report> = Vec::new();
    for step in STEPS.iter().filter(is_chosen) {
        let report = run_step(workspace, step, &reports);
        reports.push(report);
    }
    summarise(&reports)
}

fn run_step(workspace: &Workspace, step: &Step, earlier: &[Report]) -> Report {
    let is_missing = |need: &&&str| earlier.iter().any(|report| report.name == **need && !report.is_passed());
    let mut tally = Tally::default();
    let started = Instant::now();
    let outcome = match step.needs.iter().find(is_missing) {
        Some(because) => Outcome::NotRun { because },
        None => {
            println!();
            announce(format_args!("step {}: {}", step.name, step.purpose));
            (step.run)(workspace, &mut tally).map_or_else(Outcome::Failed, |()| Outcome::Passed)
        }
    };
    match &outcome {
        // A step without tests of its own is one check.
        Outcome::Passed if tally == Tally::default() => tally.passed = 1,
        Outcome::Failed(_) | Outcome::NotRun { .. } if tally.failed == 0 => tally.failed = 1,
        _ => {}
    }
    if let Outcome::Failed(failure) = &outcome {
        println!("step {} failed: {failure}", step.name);
    }
    Report { name: step.name, outcome, tally, took: started.elapsed() }
}

/// Prints the table and the closing line; an error if anything failed.
fn summarise(reports: &[Report]) -> Result<(), Failure> {
    let mut total = Tally::default();
    println!("\n{:<11} {:>8} {:>8} {:>8}", "step", "passed", "failed", "seconds");
    for report in reports {
        total.add(report.tally);
        let Tally { passed, failed } = report.tally;
        let remark = match &report.outcome {
            Outcome::Passed => String::new(),
            Outcome::Failed(failure) => format!("  {}", failure.to_string().lines().next().unwrap_or_default()),
            Outcome::NotRun { because } => format!("  not run: it needs {because}"),
        };
        println!("{:<11} {passed:>8} {failed:>8} {:>8.1}{remark}", report.name, report.took.as_secs_f32());
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    let failed: Vec<_> = reports.iter().filter(|report| !report.is_passed()).map(|report| report.name).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => {
            Err(Failure::new(format!("failed: {} (one alone: `cargo xtask test --only STEP`)", failed.join(", "))))
        }
    }
}

// === impl Report ===

impl Report {
    fn is_passed(&self) -> bool {
        matches!(self.outcome, Outcome::Passed)
    }
}
