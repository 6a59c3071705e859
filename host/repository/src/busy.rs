//! Which models are being changed: two changes of one model follow each other, changes of different models do not.

use std::collections::BTreeSet;

use nereid_sync::{Condvar, Mutex};

/// The names held by operations under way.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    names: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

/// Names held until this is dropped.
pub(crate) struct Held<'a> {
    busy: &'a Busy,
    names: BTreeSet<String>,
}

// === impl Busy ===

impl Busy {
    /// Waits until all of `names` are free and takes them at once, so that no two operations wait for each other.
    pub(crate) fn hold(&self, names: BTreeSet<String>) -> Held<'_> {
        let mut held = self.names.lock();
        while !held.is_disjoint(&names) {
            self.freed.wait(&mut held);
        }
        held.extend(names.iter().cloned());
        Held { busy: self, names }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.busy.names.lock().retain(|name| !self.names.contains(name));
        self.busy.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_operation_waits_for_one_that_shares_a_name_only() {
        let busy = Busy::default();
        let (sender, receiver) = mpsc::channel();
        let first = busy.hold(names(&["a", "b"]));
        drop(busy.hold(names(&["c"])));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _second = busy.hold(names(&["b", "c"]));
                sender.send("second").unwrap();
            });
            assert!(receiver.try_recv().is_err());
            drop(first);
            assert_eq!(receiver.recv(), Ok("second"));
        });
        assert!(busy.names.lock().is_empty());
    }
}
