//! `nereid plugin bench`: what a plugin costs from its file to an answer, and an answer when all is warm.
//!
//! Models that the plugin calls answer at once where the case gives their answers: the figures are the plugin's own. They
//! are those of one client that waits for each answer.

use std::{fmt, num::NonZeroUsize, path::Path, time::Duration};

use nereid_backend_wasm::PluginPolicy;
use nereid_client::Latencies;
use nereid_plugin::CallReport;
use tokio::runtime::Handle;

use crate::{
    case::Case,
    error::RehearsalError,
    stage::{Answered, Stage, StageSettings},
};

/// What was measured.
#[derive(Debug)]
pub struct Measurement {
    /// From the file to the first guest, compiling included.
    compiled_in: Duration,
    /// The same with the compiled plugin at hand.
    restored_in: Duration,
    first: Duration,
    warm: Latencies,
    calls: usize,
    /// Of all warm calls together.
    cpu_time: Duration,
    host_calls: u64,
    memory_bytes: u64,
}

/// Which case is played, once the plugin is there.
pub type ChooseCase<'a> = &'a dyn Fn(&Stage) -> Result<Case, RehearsalError>;

/// Loads the plugin twice, without and with its compiled form, and plays the case `calls` times. Takes as long as that takes.
///
/// # Errors
/// The plugin cannot be loaded, or fails.
pub async fn measure(
    folder: &Path,
    policy: &PluginPolicy,
    (case, calls): (ChooseCase<'_>, NonZeroUsize),
) -> Result<Measurement, RehearsalError> {
    let cache = tempfile::tempdir().map_err(|source| RehearsalError::Read { path: std::env::temp_dir(), source })?;
    let settings =
        || StageSettings { cache_directory: Some(cache.path().to_owned()), policy: policy.clone(), server: None };
    let compiled_in = Stage::open(folder, settings(), &Handle::current())?.loaded_in;
    let mut stage = Stage::open(folder, settings(), &Handle::current())?;
    let case = case(&stage)?;

    let mut first = Duration::ZERO;
    let mut durations = Vec::with_capacity(calls.get());
    let mut reports: Vec<CallReport> = Vec::new();
    for call in 0..=calls.get() {
        let played = play(&mut stage, &case).await?;
        match call {
            0 => first = played.took,
            _ => {
                durations.push(played.took);
                reports.extend(played.reports);
            }
        }
    }
    Ok(Measurement {
        compiled_in,
        restored_in: stage.loaded_in,
        first,
        warm: Latencies::new(durations),
        calls: calls.get(),
        cpu_time: reports.iter().map(|report| report.cpu_time).sum(),
        host_calls: reports.iter().flat_map(|report| report.imports.values()).sum(),
        memory_bytes: reports.iter().map(|report| report.memory_bytes).max().unwrap_or_default(),
    })
}

/// All requests of the case, as one.
async fn play(stage: &mut Stage, case: &Case) -> Result<Answered, RehearsalError> {
    stage.play(case);
    let mut all = Answered { responses: Vec::new(), took: Duration::ZERO, reports: Vec::new() };
    for step in &case.steps {
        let answered = stage.answer(step.request.clone()).await;
        if let Some(problem) = answered.responses.iter().find_map(|response| response.as_ref().err()) {
            return Err(RehearsalError::Measure { case: case.name.clone(), problem: problem.clone() });
        }
        all.took += answered.took;
        all.reports.extend(answered.reports);
    }
    Ok(all)
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls.max(1);
        let cpu_each = self.cpu_time / u32::try_from(calls).unwrap_or(u32::MAX);
        let rows = [
            ("start, compiling", shown(self.compiled_in)),
            ("start, compiled before", shown(self.restored_in)),
            ("first call", shown(self.first)),
            ("warm call, median", shown(self.warm.quantile(0.5))),
            ("warm call, p90", shown(self.warm.quantile(0.9))),
            ("warm call, p99", shown(self.warm.quantile(0.99))),
            ("guest's CPU per call", shown(cpu_each)),
            ("imports called per call", format!("{:.1}", self.host_calls as f64 / calls as f64)),
            ("memory of a guest", format!("{:.1} MiB", self.memory_bytes as f64 / f64::from(1 << 20))),
        ];
        let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
        rows.iter().try_for_each(|(label, value)| writeln!(f, "{label:width$}  {value:>12}"))
    }
}

/// In the unit that leaves one to three digits in front of the point.
fn shown(duration: Duration) -> String {
    let nanoseconds = duration.as_secs_f64() * 1e9;
    match nanoseconds {
        0.0..1e6 => format!("{:.1} µs", nanoseconds / 1e3),
        1e6..1e9 => format!("{:.1} ms", nanoseconds / 1e6),
        _ => format!("{:.2} s", nanoseconds / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_a_line_and_a_unit() {
        let measurement = Measurement {
            compiled_in: Duration::from_millis(1_250),
            restored_in: Duration::from_micros(2_500),
            first: Duration::from_micros(90),
            warm: Latencies::new((1..=100).map(Duration::from_micros).collect()),
            calls: 100,
            cpu_time: Duration::from_micros(500),
            host_calls: 350,
            memory_bytes: 17 << 16,
        };
        let text = measurement.to_string();
        for (label, value) in [
            ("start, compiling", "1.25 s"),
            ("start, compiled before", "2.5 ms"),
            ("warm call, p99", "99.0 µs"),
            ("guest's CPU per call", "5.0 µs"),
            ("imports called per call", "3.5"),
            ("memory of a guest", "1.1 MiB"),
        ] {
            let line = text.lines().find(|line| line.starts_with(label)).unwrap();
            assert!(line.ends_with(value), "{line}");
        }
    }
}
