//! The thread that watches: it looks ten times a second while there is something to look at, and sleeps otherwise.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use nereid_inference::InferError;

use crate::{Repository, bell::Bell, book::Look};

/// Between two looks: a generation that fails every request goes before a client's second retry.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

// === impl Repository ===

impl Repository {
    /// Starts the thread that watches new generations; it ends with the server, or with the last reference.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn watch_swaps(self: &Arc<Self>) -> Result<(), InferError> {
        let (bell, repository) = (self.swap_bell.clone(), Arc::downgrade(self));
        let started = thread::Builder::new().name("model-swaps".to_owned()).spawn(move || watch(&bell, &repository));
        started.map(drop).map_err(|error| InferError::internal(format!("no thread to watch new models: {error}")))
    }

    /// Looks once; returns whether there is anything to look at again.
    pub(crate) fn look_at_swaps(&self, now: Instant) -> bool {
        let mut book = self.book.lock();
        let Look { tripped, retired, goes_on } = book.look(now);
        let gone = book.gone(&retired);
        drop(book);
        // Where the last reference goes, threads are joined and memory is freed: not under the lock.
        gone.iter().for_each(|served| served.retire());
        drop((retired, gone));
        for (id, why) in tripped {
            // A load of the model that is under way takes its place anyway; when that fails, the next look is soon enough.
            if let Some(held) = self.busy.try_hold(BTreeSet::from([id.clone()])) {
                self.return_to_previous(&id, &why);
                drop(held);
                self.relink_dependents(&id);
            }
        }
        goes_on
    }
}

fn watch(bell: &Bell, repository: &Weak<Repository>) {
    let mut wake_at = None;
    while bell.wait(wake_at) {
        let Some(repository) = repository.upgrade() else { return };
        wake_at = repository.look_at_swaps(Instant::now()).then(|| Instant::now() + LOOK_INTERVAL);
    }
}
