//! Which models are being changed: two changes of one model follow each other, changes of different models do not.

use std::collections::BTreeSet;

use nereid_sync::{Condvar, Mutex};

use crate::model_id::ModelId;

/// The models held by operations under way.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    models: Mutex<BTreeSet<ModelId>>,
    freed: Condvar,
}

/// Models held until this is dropped.
pub(crate) struct Held<'a> {
    busy: &'a Busy,
    models: BTreeSet<ModelId>,
}

// === impl Busy ===

impl Busy {
    /// Waits until all of `models` are free and takes them at once, so that no two operations wait for each other.
    pub(crate) fn hold(&self, models: BTreeSet<ModelId>) -> Held<'_> {
        let mut held = self.models.lock();
        while !held.is_disjoint(&models) {
            self.freed.wait(&mut held);
        }
        held.extend(models.iter().cloned());
        Held { busy: self, models }
    }

    /// Takes all of `models`, when they are free.
    pub(crate) fn try_hold(&self, models: BTreeSet<ModelId>) -> Option<Held<'_>> {
        let mut held = self.models.lock();
        if !held.is_disjoint(&models) {
            return None;
        }
        held.extend(models.iter().cloned());
        Some(Held { busy: self, models })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.busy.models.lock().retain(|name| !self.models.contains(name));
        self.busy.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    fn models(names: &[&str]) -> BTreeSet<ModelId> {
        names.iter().map(|name| ModelId::plain(name)).collect()
    }

    #[test]
    fn an_operation_waits_for_one_that_shares_a_name_only() {
        let busy = Busy::default();
        let (sender, receiver) = mpsc::channel();
        let first = busy.hold(models(&["a", "b"]));
        drop(busy.hold(models(&["c"])));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _second = busy.hold(models(&["b", "c"]));
                sender.send("second").unwrap();
            });
            assert!(receiver.try_recv().is_err());
            drop(first);
            assert_eq!(receiver.recv(), Ok("second"));
        });
        assert!(busy.models.lock().is_empty());
    }
}
