//! The atomic pointer, as `arc_swap` has it: each operation is one step that others see whole.
//!
//! A change that depends on what was there looks first and puts its outcome in afterwards, and begins again when
//! somebody came between the two.

use std::{ops::Deref, sync::Arc};

use super::locks::Mutex;

/// See `arc_swap::ArcSwap`.
pub struct ArcSwap<T>(Mutex<Arc<T>>);

/// What was there at the time; holds it.
pub struct Guard<T>(Arc<T>);

// === impl ArcSwap ===

impl<T> ArcSwap<T> {
    pub fn new(value: Arc<T>) -> Self {
        Self(Mutex::new(value))
    }

    pub fn load(&self) -> Guard<T> {
        Guard(self.0.lock().clone())
    }

    pub fn swap(&self, new: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut *self.0.lock(), new)
    }

    /// Returns what was there before.
    pub fn rcu<R: Into<Arc<T>>>(&self, mut change: impl FnMut(&Arc<T>) -> R) -> Arc<T> {
        loop {
            let before = self.load().0;
            let after = change(&before).into();
            let mut current = self.0.lock();
            if Arc::ptr_eq(&current, &before) {
                *current = after;
                return before;
            }
        }
    }
}

impl<T: Default> Default for ArcSwap<T> {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

// === impl Guard ===

impl<T> Deref for Guard<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.0
    }
}
