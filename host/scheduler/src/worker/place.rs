//! The number of the thread that something happens on.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::policy::Place;

static NEXT: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static HERE: Place = Place(NEXT.fetch_add(1, Relaxed));
}

// === impl Place ===

impl Place {
    /// This thread.
    pub(crate) fn here() -> Self {
        HERE.with(|place| *place)
    }
}
