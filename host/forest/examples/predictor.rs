//! Times the evaluator on one thread: `predictor MODEL_TYPE FILE ROWS FEATURES BATCH…`, driven by `benches/forests.py`.
//!
//! ROWS is a file of 32-bit floats. Printed: on one line, microseconds of processor time per row in batches of each size,
//! all rows in turn, so that the branch predictor does not learn some of them; then the scores, one per line.

use std::{
    error::Error,
    fs,
    time::{Duration, Instant},
};

use nereid_forest::{Evaluator, Format, ReadOptions, read};

/// Repeats, of which the quickest counts: the others were disturbed.
const REPEATS: usize = 7;
const REPEAT_TIME: Duration = Duration::from_millis(250);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model_type, file, rows, features, batches @ ..] = arguments.as_slice() else {
        return Err("expected MODEL_TYPE FILE ROWS FEATURES BATCH…".into());
    };
    let format =
        Format::ALL.into_iter().find(|format| format.model_type() == model_type).ok_or("unknown MODEL_TYPE")?;
    let evaluator = Evaluator::new(&read(format, &fs::read(file)?, ReadOptions::default())?);
    let features: usize = features.parse()?;
    if features != evaluator.feature_count() {
        return Err(format!("the forest has {} features", evaluator.feature_count()).into());
    }
    let rows = fs::read(rows)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>();
    let mut scores = vec![0.0; rows.len() / features * evaluator.output_count()];
    for batch in batches {
        let batch: usize = batch.parse()?;
        let time = quickest(rows.len() / features / batch * batch, || {
            for rows in rows.chunks_exact(features * batch) {
                evaluator.scores(rows, &mut scores, None);
            }
        });
        print!("{time} ");
    }
    println!();
    evaluator.scores(&rows, &mut scores, None);
    scores.iter().for_each(|score| println!("{score}"));
    Ok(())
}

/// Microseconds of processor time per row, at best.
fn quickest(rows: usize, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let (start, before) = (Instant::now(), processor_time());
        let mut done = 0;
        while start.elapsed() < REPEAT_TIME {
            work();
            done += rows;
        }
        best = best.min((processor_time() - before).as_secs_f64() * 1e6 / done as f64);
    }
    best
}

/// Of this thread, as Linux tells it.
fn processor_time() -> Duration {
    // Giving the processor away makes the scheduler account for what was used.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0))
}
