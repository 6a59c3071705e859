//! ONNX Runtime alone, in process: what a model can do without a server around it.
//!
//! `raw_onnx LIBRARY MODEL SECONDS THREADS BATCH…` runs the model, whose only input is `X` of `[batch, n]` floats, over
//! and over, with a session per thread that computes on that thread alone, as the server's instances do. A line of JSON
//! per batch size: rows per second of all threads together, the median time of one run in milliseconds, and processor
//! time per row in microseconds, which says more than the other two while the machine is busy.

use std::{
    error::Error,
    fs, io, thread,
    time::{Duration, Instant},
};

use ort::{
    environment::Environment,
    session::{Session, builder::GraphOptimizationLevel},
    value::{Outlet, TensorRef, ValueType},
};

/// Runs before anything is measured.
const WARMUP_RUNS: usize = 5;

/// Of `/proc/self/stat`; the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

type Failure = Box<dyn Error + Send + Sync>;

/// What is measured.
struct Settings {
    model: String,
    duration: Duration,
    threads: usize,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| io::Error::other(format!("expected {what}")));
    let environment = ort::init_from(next("the library")?)?.with_telemetry(false).build()?;
    let model = next("the model")?;
    let duration = Duration::from_secs_f64(next("seconds")?.parse()?);
    let threads = next("the number of threads")?.parse()?;
    let settings = Settings { model, duration, threads };
    for batch in arguments {
        let batch: usize = batch.parse()?;
        let (mut runs, cpu_ticks) = measure(&environment, &settings, batch)?;
        runs.sort_unstable();
        let median = runs.get(runs.len() / 2).copied().unwrap_or_default();
        let busy = runs.iter().sum::<Duration>().as_secs_f64() / threads as f64;
        let rows = (runs.len() * batch) as f64 / busy;
        let milliseconds = median.as_secs_f64() * 1e3;
        let cpu = cpu_ticks as f64 / TICKS_PER_SECOND * 1e6 / (runs.len() * batch) as f64;
        println!(
            r#"{{"threads":{threads},"batch":{batch},"rows_per_second":{rows:.1},"milliseconds":{milliseconds:.4},"cpu_us_per_row":{cpu:.1}}}"#
        );
    }
    Ok(())
}

/// The times of all runs of all threads, which run at the same time, and the processor time that they took.
fn measure(environment: &Environment, settings: &Settings, batch: usize) -> Result<(Vec<Duration>, u64), Failure> {
    let sessions: Vec<Session> =
        (0..settings.threads).map(|_| open(environment, &settings.model)).collect::<Result<_, _>>()?;
    let before = cpu_ticks()?;
    let runs = thread::scope(|scope| {
        let threads: Vec<_> =
            sessions.into_iter().map(|session| scope.spawn(move || run(session, settings.duration, batch))).collect();
        let mut runs = Vec::new();
        for thread in threads {
            runs.extend(thread.join().map_err(|_| io::Error::other("a thread panicked"))??);
        }
        Ok::<_, Failure>(runs)
    })?;
    Ok((runs, cpu_ticks()? - before))
}

/// Processor time of this process so far, as user and as system.
fn cpu_ticks() -> Result<u64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or_else(|| io::Error::other("/proc/self/stat has changed"))?;
    Ok(fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?)
}

/// With the options that the server's backend uses by default.
fn open(environment: &Environment, model: &str) -> Result<Session, ort::Error> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .commit_from_file(model)
}

fn run(mut session: Session, duration: Duration, batch: usize) -> Result<Vec<Duration>, Failure> {
    let width = width(session.inputs())?;
    let data: Vec<f32> = (0..batch * width).map(|index| (index % 17) as f32 / 17.0).collect();
    let shape = [batch, width];
    for _ in 0..WARMUP_RUNS {
        session.run(ort::inputs![TensorRef::from_array_view((shape, &*data))?])?;
    }
    let (started, mut runs) = (Instant::now(), Vec::new());
    while started.elapsed() < duration {
        let begun = Instant::now();
        session.run(ort::inputs![TensorRef::from_array_view((shape, &*data))?])?;
        runs.push(begun.elapsed());
    }
    Ok(runs)
}

/// Elements of one row of the only input.
fn width(inputs: &[Outlet]) -> Result<usize, Failure> {
    match inputs {
        [input] => match input.dtype() {
            ValueType::Tensor { shape, .. } => match shape[..] {
                [_, width] if width > 0 => Ok(usize::try_from(width)?),
                _ => Err(io::Error::other("expected an input of [batch, n]").into()),
            },
            _ => Err(io::Error::other("expected a tensor").into()),
        },
        _ => Err(io::Error::other("expected one input").into()),
    }
}
