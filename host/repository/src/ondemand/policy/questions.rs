//! What others ask about models, without changing anything.

use std::time::Instant;

use super::{Model, Policy, Refusal, Slot, State};

// === impl Policy: questions ===

impl<W> Policy<W> {
    /// Whether any model is in [`Policy::refusal`].
    pub(crate) fn has_failures(&self, now: Instant) -> bool {
        self.failures_until.is_some_and(|until| until > now)
    }

    /// Whether anybody waits for room.
    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty() || !self.reloads.is_empty()
    }

    /// Whether a request would be refused at once.
    pub(crate) fn refusal(&self, now: Instant, slot: Slot) -> Option<Refusal> {
        match &self.models.get(slot)?.state {
            State::Failed { reason, until } if *until > now => {
                Some(Refusal::Failed { reason: reason.clone(), left: *until - now })
            }
            _ => None,
        }
    }

    /// Whether somebody loads or unloads it now, or will.
    pub(crate) fn is_changing(&self, slot: Slot) -> bool {
        let state = self.models.get(slot).map(|model| &model.state);
        matches!(state, Some(State::Queued | State::Loading { .. } | State::Unloading))
    }

    pub(crate) fn is_loaded(&self, slot: Slot) -> bool {
        matches!(self.models.get(slot).map(|model| &model.state), Some(State::Loaded))
    }

    /// The models that are loaded and in use, for texts.
    pub(crate) fn in_the_way(&self) -> Vec<Slot> {
        let stays = |(_, model): &(usize, &Model<W>)| matches!(model.state, State::Loaded | State::Loading { .. });
        self.models.iter().enumerate().filter(stays).map(|(slot, _)| slot).collect()
    }
}
