//! The one timer of a scheduler: when the policy wants to be asked again.
//!
//! Promises: a change is never slept through, in whatever order setting and reading happen. Costs a short lock per
//! decision, and a task per scheduler that waits for nothing most of the time.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};

use super::Shared;
use crate::policy::Event;

/// When the state machine wants to be asked again.
#[derive(Default)]
pub(super) struct Alarm {
    at: Mutex<Option<Instant>>,
    changed: Notify,
}

// === impl Alarm ===

impl Alarm {
    pub(super) fn set(&self, at: Option<Instant>) {
        let mut current = self.at.lock();
        if *current != at {
            *current = at;
            self.changed.notify_one();
        }
    }

    /// Has whoever keeps time look again whether there is anything to wait for.
    pub(super) fn disturb(&self) {
        self.changed.notify_one();
    }
}

/// Wakes the state machine when it asked to be woken, until the scheduler is gone.
///
/// A change of the alarm between reading it and sleeping is not lost: `notify_one` stores a permit.
pub(super) async fn keep_time(shared: Weak<Shared>, alarm: Arc<Alarm>) {
    while shared.strong_count() > 0 {
        let at = *alarm.at.lock();
        let Some(at) = at else {
            alarm.changed.notified().await;
            continue;
        };
        tokio::select! {
            () = alarm.changed.notified() => {}
            () = sleep_until(at.into()) => {
                let Some(shared) = shared.upgrade() else { return };
                let actions = shared.decide(Instant::now(), Event::Wake);
                shared.perform(actions);
                if shared.limited.is_some() {
                    shared.dismiss_if_drained();
                }
            }
        }
    }
}
