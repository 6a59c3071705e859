//! Reloads of models that are loaded: the old generation serves until the new one does, so that both need room at once.
//!
//! Promises: the model itself never makes room for its next generation; a reload waits only while somebody may yet go, is
//! tried again as soon as somebody has gone, and is over at its time at the latest.

use std::{collections::VecDeque, time::Instant};

use nereid_inference::InferError;

use super::{Action, Policy, Refusal, Slot};

/// A reload that found no room, while whoever could make some is in use.
#[derive(Debug)]
pub(super) struct Reload<W> {
    slot: Slot,
    waiter: W,
    pub(super) until: Instant,
    /// What its load said.
    reason: InferError,
    /// Somebody has gone since.
    may_fit: bool,
}

// === impl Policy: reloads ===

impl<W> Policy<W> {
    /// The reload waits until it is to be tried again; it comes back at once when nobody could ever make room.
    pub(crate) fn await_room(&mut self, slot: Slot, until: Instant, reason: InferError, waiter: W) -> Option<W> {
        if self.has_no_hope(slot) {
            return Some(waiter);
        }
        self.reloads.push_back(Reload { slot, waiter, until, reason, may_fit: false });
        None
    }

    /// The first of the reloads that is over, that is to be tried again, or that somebody can make room for.
    pub(super) fn next_reload(&mut self, now: Instant) -> Option<Action<W>> {
        if let Some(reload) = take_first(&mut self.reloads, |reload| reload.until <= now) {
            return Some(Action::Refuse(reload.slot, vec![reload.waiter], Refusal::ReloadTooLong(reload.reason)));
        }
        let hopeless: Vec<bool> = self.reloads.iter().map(|reload| self.has_no_hope(reload.slot)).collect();
        let mut hopeless = hopeless.into_iter();
        let is_due = |reload: &Reload<W>| hopeless.next().unwrap_or_default() || reload.may_fit;
        if let Some(reload) = take_first(&mut self.reloads, is_due) {
            return Some(Action::Retry(reload.waiter));
        }
        let slots: Vec<Slot> = self.reloads.iter().map(|reload| reload.slot).collect();
        slots.into_iter().find_map(|slot| self.make_memory(slot))
    }
}

// === impl Reload ===

impl<W> Reload<W> {
    /// Somebody is gone.
    pub(super) fn note_room(&mut self) {
        self.may_fit = true;
    }
}

fn take_first<T>(queue: &mut VecDeque<T>, is_meant: impl FnMut(&T) -> bool) -> Option<T> {
    let position = queue.iter().position(is_meant)?;
    queue.remove(position)
}
