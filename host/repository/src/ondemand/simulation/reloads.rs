//! Reloads that find no room: they wait while somebody may yet go, and are told when somebody has.

use std::time::Instant;

use nereid_inference::InferError;

use super::World;
use crate::ondemand::policy::Slot;

/// A reload that found no room.
#[derive(Clone, Copy)]
pub(super) struct WaitingReload {
    pub(super) slot: Slot,
    pub(super) until: Instant,
    /// Somebody has gone since.
    pub(super) may_fit: bool,
}

// === impl World ===

impl World {
    /// A model that is loaded is to have another generation, for which there is no room.
    pub(super) fn reload(&mut self, slot: Slot) {
        if self.loaded.contains(&slot) {
            let id = self.next_request;
            self.next_request += 1;
            self.reload_found_no_room(id, slot, self.now + self.settings.wait_max);
        }
    }

    fn reload_found_no_room(&mut self, id: u64, slot: Slot, until: Instant) {
        let reload = WaitingReload { slot, until, may_fit: false };
        self.reloads.insert(id, reload);
        if let Some(victim) = self.policy.lacked_memory(slot) {
            assert_ne!(victim, slot, "a model makes room for its own next generation");
            self.begin_eviction(victim);
            self.reloads.remove(&id);
            return;
        }
        let has_hope = self.could_ever_go(slot) || !self.unloading.is_empty();
        let back = self.policy.await_room(slot, until, InferError::resource_exhausted("no room"), id);
        assert_eq!(back.is_none(), has_hope, "reload {id} is to wait if somebody can go, and only then");
        if back.is_some() {
            self.reloads.remove(&id);
        }
    }

    pub(super) fn retry(&mut self, id: u64) {
        let reload = self.reloads.remove(&id).expect("answered once");
        let is_hopeless = !self.could_ever_go(reload.slot) && self.unloading.is_empty();
        assert!(reload.may_fit || is_hopeless, "reload {id} is tried again, and nobody has gone");
        assert!(reload.until > self.now);
        if self.random.chance(40) {
            self.reload_found_no_room(id, reload.slot, reload.until);
        }
    }

    pub(super) fn give_up_reload(&mut self, slot: Slot, waiters: &[u64]) {
        let [id] = waiters else { panic!("{waiters:?} are not one reload") };
        let reload = self.reloads.remove(id).expect("answered once");
        assert!(reload.slot == slot && reload.until <= self.now, "reload {id} was given up early");
    }

    /// Whoever waits does so because nobody is idle who could go.
    pub(super) fn check_reloads(&self) {
        for (id, reload) in &self.reloads {
            assert!(reload.until > self.now, "reload {id} waits beyond its time");
            assert!(!reload.may_fit, "reload {id} was not told that somebody has gone");
            if self.unloading.is_empty() {
                let idle = self.those_who_may_go(reload.slot).find(|slot| !self.running.values().any(|at| at == slot));
                assert_eq!(idle, None, "reload {id} of {} waits, and somebody could make room", reload.slot);
                assert!(self.could_ever_go(reload.slot), "reload {id} waits in vain");
            }
        }
    }
}
