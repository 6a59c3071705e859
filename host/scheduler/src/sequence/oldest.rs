//! The oldest strategy: the next requests of an instance's sequences, oldest first, are batched as dynamic batching would.
//!
//! An instance has more candidates than rows; a sequence has no fixed row, and no row is ever padded.

use std::time::Instant;

use super::{Chosen, Pick, Sequenced, bench::Bench};
use crate::{
    SchedulerSettings,
    batching::{Decision, decide, everybody_joins},
};

/// Decides for an idle instance.
pub(super) fn pick<T: Sequenced>(settings: &SchedulerSettings, now: Instant, bench: &Bench<T>) -> Pick {
    let candidates = bench.candidates().map(|candidate| {
        let arrived = candidate.queued.arrived;
        (candidate, arrived)
    });
    match decide(settings, now, candidates, everybody_joins) {
        Decision::Run { requests, reason } => {
            let rows = bench.candidates().take(requests).map(|candidate| Some(candidate.slot)).collect();
            Pick::Run(Chosen { rows, reason })
        }
        Decision::Wait { until } => Pick::Wait { until },
        Decision::Ask { .. } | Decision::Nothing => Pick::Nothing,
    }
}
