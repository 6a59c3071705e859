//! One guest's life, as the metrics count it: begun, at rest between calls, at work, and why it is no more.
//!
//! It lies in the guest's store and is counted out with it, wherever that is dropped: whoever ends a guest says why before, and where
//! nobody says anything the place tells. A guest that goes in mid-call was left by its client; one at rest goes with its generation.

use std::sync::Arc;

use nereid_telemetry::{GuestEnd, ModelUsage};

/// See the file's head.
pub(crate) struct GuestLife {
    usage: Arc<ModelUsage>,
    is_idle: bool,
    end: GuestEnd,
}

// === impl GuestLife ===

impl GuestLife {
    pub(crate) fn begin(usage: Arc<ModelUsage>) -> Self {
        usage.guests().guest_began();
        Self { usage, is_idle: false, end: GuestEnd::Cancelled }
    }

    /// A call begins.
    pub(crate) fn work(&mut self) {
        self.set_idle(false);
        self.end = GuestEnd::Cancelled;
    }

    /// The call is over, and another one may come.
    pub(crate) fn rest(&mut self) {
        self.set_idle(true);
        self.end = GuestEnd::Swap;
    }

    /// This is the end of it.
    pub(crate) fn retire(&mut self, end: GuestEnd) {
        self.set_idle(false);
        self.end = end;
    }

    fn set_idle(&mut self, is_idle: bool) {
        match (self.is_idle, is_idle) {
            (false, true) => self.usage.guests().guest_rests(),
            (true, false) => self.usage.guests().guest_wakes(),
            _ => {}
        }
        self.is_idle = is_idle;
    }
}

impl Drop for GuestLife {
    fn drop(&mut self) {
        self.set_idle(false);
        self.usage.guests().guest_ended(self.end);
    }
}
