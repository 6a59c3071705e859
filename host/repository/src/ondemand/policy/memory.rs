//! Loads that find no room in memory: who makes some for them, and when they are tried again.
//!
//! Promises: what is in use, pinned or needed goes for nobody; one model goes at a time, and then the load is tried again; a
//! load for which nobody can ever make room is not kept waiting.

use nereid_inference::InferError;

use super::{Action, Policy, Slot, State, reloads::Reload};

// === impl Policy: a load has found no room ===

impl<W> Policy<W> {
    /// A load found no room in memory, or a reload: who is to be unloaded before it is tried again, if somebody can go now.
    pub(crate) fn lacked_memory(&mut self, leader: Slot) -> Option<Slot> {
        let victim = self.victim(leader)?;
        self.set(victim, State::Unloading);
        Some(victim)
    }

    /// A load found no room in memory, and whoever can make some is in use: it is the next in the queue again, until one of
    /// them has gone. Returns who can be served all the same, by members that were loaded; `None`, and nothing has
    /// changed, when nobody could ever make room.
    pub(crate) fn postponed(
        &mut self,
        leader: Slot,
        reason: &InferError,
        is_loaded: impl Fn(Slot) -> bool,
    ) -> Option<Vec<(Slot, W)>> {
        if self.has_no_hope(leader) {
            return None;
        }
        let mut served = Vec::new();
        for (slot, model) in self.models.iter_mut().enumerate() {
            if !matches!(model.state, State::Loading { by } if by == leader) {
                continue;
            }
            if slot == leader {
                model.state = State::Queued;
                model.lacks_memory = Some(reason.clone());
                self.queue.push_front(slot);
            } else if is_loaded(slot) {
                model.state = State::Loaded;
                let waiters = model.take_waiters(|_| true);
                self.waiters -= waiters.len();
                model.in_flight += waiters.len();
                served.extend(waiters.into_iter().map(|waiter| (slot, waiter)));
            } else if model.waiters.is_empty() {
                model.state = State::Unloaded;
            } else {
                model.state = State::Queued;
                self.queue.push_back(slot);
            }
        }
        Some(served)
    }

    /// Somebody is gone: there may be room.
    pub(super) fn try_memory_again(&mut self) {
        self.models.iter_mut().for_each(|model| model.lacks_memory = None);
        self.reloads.iter_mut().for_each(Reload::note_room);
    }
}

// === impl Policy: it waits for some ===

impl<W> Policy<W> {
    /// Whether it waits for somebody to go. When nobody can any more, its load is to be tried again, and to say so.
    pub(super) fn lacks_memory(&mut self, head: Slot) -> bool {
        let is_hopeless = self.has_no_hope(head);
        let Some(model) = self.models.get_mut(head) else { return false };
        if is_hopeless {
            model.lacks_memory = None;
        }
        model.lacks_memory.is_some()
    }

    /// One makes room at a time: then the load is tried again.
    pub(super) fn make_memory(&mut self, head: Slot) -> Option<Action<W>> {
        if self.is_somebody_leaving() {
            return None;
        }
        let victim = self.victim(head)?;
        self.set(victim, State::Unloading);
        Some(Action::Unload(victim))
    }

    /// Whether nobody leaves, and nobody ever could, for the model to come.
    pub(super) fn has_no_hope(&self, head: Slot) -> bool {
        !self.is_somebody_leaving() && self.candidates(head).next().is_none()
    }

    fn is_somebody_leaving(&self) -> bool {
        self.models.iter().any(|model| matches!(model.state, State::Unloading))
    }
}
