//! Times the evaluator on one thread: `predictor MODEL_TYPE FILE ROWS FEATURES`, driven by `benches/backends.py`.
//!
//! ROWS is a file of 32-bit floats. Printed: microseconds of processor time per row in batches of 1 (all rows in turn, so
//! that the branch predictor does not learn one of them) and of 1000, then the scores of the first rows, one per line.

use std::{
    error::Error,
    fs,
    time::{Duration, Instant},
};

use nereid_forest::{Evaluator, Format, ReadOptions, read};

/// Repeats, of which the quickest counts: the others were disturbed.
const REPEATS: usize = 7;
const REPEAT_TIME: Duration = Duration::from_millis(250);

const BATCH_ROWS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model_type, file, rows, features] = arguments.as_slice() else {
        return Err("expected MODEL_TYPE FILE ROWS FEATURES".into());
    };
    let format =
        Format::ALL.into_iter().find(|format| format.model_type() == model_type).ok_or("unknown MODEL_TYPE")?;
    let evaluator = Evaluator::new(&read(format, &fs::read(file)?, ReadOptions::default())?);
    let features: usize = features.parse()?;
    if features != evaluator.feature_count() {
        return Err(format!("the forest has {} features", evaluator.feature_count()).into());
    }
    let numbers = fs::read(rows)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>();
    let batch = numbers.get(..BATCH_ROWS * features).ok_or("expected 1000 rows at least")?;
    let mut scores = vec![0.0; BATCH_ROWS * evaluator.output_count()];
    let mut score = vec![0.0; evaluator.output_count()];
    let mut next = batch.chunks_exact(features).cycle();
    let one = quickest(BATCH_ROWS, || {
        for row in next.by_ref().take(BATCH_ROWS) {
            evaluator.scores(row, &mut score, None);
        }
    });
    let many = quickest(BATCH_ROWS, || evaluator.scores(batch, &mut scores, None));
    println!("{one} {many}");
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
