//! Whether a generation's guests may be entered, after they failed so often in a row that entering them is a waste: a state machine
//! that is told the time.
//!
//! ```text
//!   Closed ──> Open      so many guests in a row were lost
//!   Open ────> Trying    the back-off is over: one call is let in
//!   Trying ──> Closed    it was answered, by an error of the guest's own too
//!      └─────> Open      its guest was lost as well: the back-off doubles, up to a most
//! ```
//! A guest is lost that traps, is ended at a limit or does not start. A plugin that answers errors loses none; what comes of calls
//! that were let in before the breaker opened does not move it, and a trial that its client leaves is tried again at once.

use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Guests lost in a row that open it; 0 for a breaker that never opens.
    pub failures: u32,
    /// How long requests are refused at first.
    pub backoff: Duration,
    /// The longest that doubling makes of it.
    pub backoff_max: Duration,
}

/// The breaker of one generation.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { lost: u32 },
    Open { until: Instant, backoff: Duration },
    Trying { backoff: Duration },
}

/// Whether a call may enter a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Free,
    /// What comes of it decides.
    Trial,
    /// Not before so much time has passed.
    Refused {
        wait: Duration,
    },
}

/// What became of a call's guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// It returned.
    Returned,
    /// It was lost by its own fault.
    Lost,
    /// Nothing is known: its client left, or there was no room for a guest.
    Unknown,
}

/// What a call's end changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened { backoff: Duration },
    OpenedAgain { backoff: Duration },
    Closed,
}

// === impl BreakerSettings ===

impl BreakerSettings {
    /// A client's mistake is repeated a few times before somebody looks; a plugin that fails everybody does so ten times in the blink
    /// of an eye. Half a second is soon enough for a fault that passes, half a minute is rare enough for one that stays.
    pub const DEFAULT: Self =
        Self { failures: 10, backoff: Duration::from_millis(500), backoff_max: Duration::from_secs(30) };
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === impl Breaker ===

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { lost: 0 } }
    }

    /// Whether nothing is amiss, so that neither an admission nor an answer changes anything.
    pub(crate) fn is_clean(&self) -> bool {
        self.state == State::Closed { lost: 0 }
    }

    /// Whether requests are refused, but for those that are tried.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Whether a call would be refused.
    pub(crate) fn is_refusing(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => false,
            State::Open { until, .. } => now < until,
            State::Trying { .. } => true,
        }
    }

    /// A call wants to enter a guest.
    pub(crate) fn admit(&mut self, now: Instant) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Free,
            State::Open { until, backoff } if now >= until => {
                self.state = State::Trying { backoff };
                Admission::Trial
            }
            State::Open { until, .. } => Admission::Refused { wait: until - now },
            State::Trying { .. } => Admission::Refused { wait: Duration::ZERO },
        }
    }

    /// A call is over that was let in, on trial or not.
    pub(crate) fn end(&mut self, is_trial: bool, end: CallEnd, now: Instant) -> Option<Change> {
        match (self.state, end) {
            (State::Closed { .. }, CallEnd::Returned) => {
                self.state = State::Closed { lost: 0 };
                None
            }
            (State::Closed { lost }, CallEnd::Lost) => self.lose(lost.saturating_add(1), now),
            (State::Trying { .. }, CallEnd::Returned) if is_trial => {
                self.state = State::Closed { lost: 0 };
                Some(Change::Closed)
            }
            (State::Trying { backoff }, CallEnd::Lost) if is_trial => {
                let backoff = backoff.saturating_mul(2).min(self.settings.backoff_max);
                self.open(backoff, now);
                Some(Change::OpenedAgain { backoff })
            }
            (State::Trying { backoff }, CallEnd::Unknown) if is_trial => {
                self.state = State::Open { until: now, backoff };
                None
            }
            _ => None,
        }
    }

    fn lose(&mut self, lost: u32, now: Instant) -> Option<Change> {
        let BreakerSettings { failures, backoff, backoff_max } = self.settings;
        if failures == 0 || lost < failures {
            self.state = State::Closed { lost: if failures == 0 { 0 } else { lost } };
            return None;
        }
        let backoff = backoff.min(backoff_max);
        self.open(backoff, now);
        Some(Change::Opened { backoff })
    }

    fn open(&mut self, backoff: Duration, now: Instant) {
        // A back-off beyond the end of time is one that never ends; settings bound it to a day.
        let until = now.checked_add(backoff).unwrap_or(now);
        self.state = State::Open { until, backoff };
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
