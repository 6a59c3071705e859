//! The one timer of a scheduler: when the policy wants to be asked again.
//!
//! Promises: a change is never slept through, in whatever order setting and reading happen. Costs a short lock per
//! decision, and a task per scheduler that waits for nothing most of the time.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::{Poll, Waker},
    time::Instant,
};

use nereid_sync::{Mutex, MutexGuard};
use tokio::time::sleep_until;

use super::Shared;
use crate::policy::Event;

/// When the state machine wants to be asked again.
#[derive(Default)]
pub(super) struct Alarm(Mutex<State>);

#[derive(Default)]
struct State {
    at: Option<Instant>,
    /// Since it was read last.
    changed: bool,
    /// Whoever waits for a change; there is one.
    keeper: Option<Waker>,
}

// === impl Alarm ===

impl Alarm {
    pub(super) fn set(&self, at: Option<Instant>) {
        let mut state = self.0.lock();
        if state.at != at {
            state.at = at;
            tell(state);
        }
    }

    /// Has whoever keeps time look again whether there is anything to wait for.
    pub(super) fn disturb(&self) {
        tell(self.0.lock());
    }

    /// What is set now; what is set later is a change.
    fn read(&self) -> Option<Instant> {
        let mut state = self.0.lock();
        state.changed = false;
        state.at
    }

    /// Completes when something has changed since the last reading.
    async fn changed(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock();
            if state.changed {
                return Poll::Ready(());
            }
            state.keeper = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Something has changed.
fn tell(mut state: MutexGuard<'_, State>) {
    state.changed = true;
    let keeper = state.keeper.take();
    drop(state);
    if let Some(keeper) = keeper {
        keeper.wake();
    }
}

/// Wakes the state machine when it asked to be woken, until the scheduler is gone.
///
/// The alarm is read before the scheduler is looked for: it is gone with a change of the alarm, which is then not
/// slept through.
pub(super) async fn keep_time(shared: Weak<Shared>, alarm: Arc<Alarm>) {
    loop {
        let at = alarm.read();
        if shared.strong_count() == 0 {
            return;
        }
        let Some(at) = at else {
            alarm.changed().await;
            continue;
        };
        tokio::select! {
            () = alarm.changed() => {}
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

#[cfg(all(test, feature = "shuttle"))]
mod interleavings {
    use std::time::Duration;

    use nereid_sync::{
        shuttle::{check_dfs, future::block_on},
        thread,
    };

    use super::*;

    #[test]
    fn no_change_is_slept_through() {
        let start = Instant::now();
        let last = Some(start + Duration::from_secs(2));
        check_dfs(
            move || {
                let alarm = Arc::new(Alarm::default());
                let setter = alarm.clone();
                let setting = thread::spawn(move || {
                    setter.set(Some(start + Duration::from_secs(1)));
                    setter.set(last);
                });
                // Would wait for ever after a change that it missed, which shuttle reports.
                while alarm.read() != last {
                    block_on(alarm.changed());
                }
                setting.join().unwrap();
            },
            None,
        );
    }

    #[test]
    fn whoever_keeps_time_notices_that_nobody_needs_it() {
        check_dfs(
            || {
                let alarm = Arc::new(Alarm::default());
                let scheduler = Arc::new(());
                let (known, disturber) = (Arc::downgrade(&scheduler), alarm.clone());
                let dropping = thread::spawn(move || {
                    drop(scheduler);
                    disturber.disturb();
                });
                loop {
                    alarm.read();
                    if known.strong_count() == 0 {
                        break;
                    }
                    block_on(alarm.changed());
                }
                dropping.join().unwrap();
            },
            None,
        );
    }
}
