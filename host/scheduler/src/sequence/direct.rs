//! The direct strategy: a sequence's requests are always the same row of the batch.
//!
//! The batch reaches up to the highest slot that has a request; rows below it without one are padded. With a delay and a
//! minimum of slots in use, a batch waits for company until its oldest request has waited that long.

use std::time::{Duration, Instant};

use nereid_inference::BatchReason;

use super::{
    Chosen, Pick, Sequenced,
    bench::{Bench, SlotIndex},
};
use crate::batching::Batchable;

/// When a batch goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DirectSettings {
    /// How long the oldest request may wait for company.
    pub delay_max: Duration,
    /// Part of the slots with a request from which on a batch goes at once; 0 never waits.
    pub slot_utilization_min: f32,
}

/// Decides for an idle instance.
pub(super) fn pick<T: Sequenced>(settings: &DirectSettings, now: Instant, bench: &Bench<T>) -> Pick {
    let Some(oldest) = bench.candidates().next() else { return Pick::Nothing };
    let until = oldest.queued.arrived.checked_add(settings.delay_max).unwrap_or(now);
    let reason = match reason_to_go(settings, bench) {
        Some(reason) => reason,
        None if until > now => return Pick::Wait { until },
        None => BatchReason::DelayOver,
    };
    // The oldest decides the shape: one of another shape is the oldest some day.
    let mut together: Vec<SlotIndex> =
        bench.candidates().filter(|candidate| candidate.fits(&oldest)).map(|candidate| candidate.slot).collect();
    together.sort_unstable();
    let mut rows = vec![None; together.last().map_or(0, |highest| highest + 1)];
    for slot in together {
        if let Some(row) = rows.get_mut(slot) {
            *row = Some(slot);
        }
    }
    Pick::Run(Chosen { rows, reason })
}

/// `None` waits until the delay is over.
fn reason_to_go<T: Sequenced>(settings: &DirectSettings, bench: &Bench<T>) -> Option<BatchReason> {
    let waits = settings.slot_utilization_min > 0.0 && !settings.delay_max.is_zero();
    match bench.ready_count() {
        ready if ready == bench.slots.len() => Some(BatchReason::Full),
        _ if !waits => Some(BatchReason::NoDelay),
        _ => is_used_enough(settings, bench).then_some(BatchReason::SlotsInUse),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^23 rows")]
fn is_used_enough<T: Sequenced>(settings: &DirectSettings, bench: &Bench<T>) -> bool {
    bench.ready_count() as f32 / bench.slots.len() as f32 >= settings.slot_utilization_min
}
