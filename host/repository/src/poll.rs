//! Follows the directories: what is new is loaded, what changed is loaded again, what is gone is unloaded.
//!
//! A model that fails keeps its old generation and is tried again when its files change, not before. Loads come before
//! unloads, so that an ensemble that moves from one member to another never stands without one.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use nereid_inference::InferError;

use crate::{Repository, changes, control::Load, places::Places, snapshot, swap::Origin};

impl Repository {
    /// Looks at the directories once and does what changed since the look before, or since the start. Blocks the calling
    /// thread until the last model is ready or has failed; failures are logged and shown in the index.
    ///
    /// # Errors
    /// A repository cannot be read. Nothing is unloaded for that: the next look does what is to be done.
    pub fn poll(&self) -> Result<(), InferError> {
        let mut seen = self.seen.lock();
        if self.exiting.load(Ordering::Acquire) {
            return Ok(());
        }
        // Taken before anything is loaded: what is written meanwhile is found by the next look.
        let now = snapshot::take(&Places::open(&self.settings)?)?;
        let changes = changes::between(&seen, &now);
        if changes.is_empty() {
            return Ok(());
        }
        let mut loads = changes.loads;
        // A model may be unreadable because of another one: a cycle of ensembles ends where one of them is edited.
        loads.extend(self.book.lock().unread().into_iter().filter(|id| now.contains_key(id)));
        self.load_and_relink(Load::of(loads, Origin::poll()))?;
        for id in changes.unloads {
            self.unload_models(&BTreeSet::from([id]), false);
        }
        *seen = now;
        Ok(())
    }
}
