//! Where the time of a load goes, step by step, for whoever waits for it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_sync::Mutex;

/// What a load consists of, in the order in which it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadStep {
    /// Its configuration is read, completed and checked.
    Check,
    /// Its code becomes machine code, or is found as such.
    Compile,
    /// Its backend reads it.
    Load,
    /// Its instances are made.
    Start,
    /// Its instances execute requests that nobody sent.
    WarmUp,
    /// Requests find it in place of the generation before.
    Swap,
}

/// How long each step took, those that were taken.
pub type LoadTimes = BTreeMap<LoadStep, Duration>;

/// The clock of one load. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct LoadClock(Arc<Mutex<LoadTimes>>);

// === impl LoadStep ===

impl LoadStep {
    /// The word in documents: what was done.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "checked",
            Self::Compile => "compiled",
            Self::Load => "loaded",
            Self::Start => "started",
            Self::WarmUp => "warmed_up",
            Self::Swap => "swapped",
        }
    }
}

// === impl LoadClock ===

impl LoadClock {
    /// Takes the step. What other steps take within it is theirs; a step that is taken again takes longer. One thread at a time.
    pub fn time<T>(&self, step: LoadStep, work: impl FnOnce() -> T) -> T {
        let (started, before) = (Instant::now(), self.total());
        let done = work();
        let within = self.total().saturating_sub(before);
        *self.0.lock().entry(step).or_default() += started.elapsed().saturating_sub(within);
        done
    }

    /// What was taken so far.
    pub fn times(&self) -> LoadTimes {
        self.0.lock().clone()
    }

    fn total(&self) -> Duration {
        self.0.lock().values().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    #[test]
    fn a_step_within_another_is_not_counted_twice() {
        let (clock, started) = (LoadClock::default(), Instant::now());
        let same = clock.clone();
        let done = clock.time(LoadStep::Check, || {
            same.time(LoadStep::Compile, || sleep(MOMENT));
            7
        });
        same.time(LoadStep::Compile, || sleep(MOMENT));
        let (times, whole) = (clock.times(), started.elapsed());
        assert_eq!((done, times.keys().copied().collect::<Vec<_>>()), (7, vec![LoadStep::Check, LoadStep::Compile]));
        assert!(times[&LoadStep::Compile] >= 2 * MOMENT, "both times: {times:?}");
        assert!(times.values().sum::<Duration>() <= whole, "no moment counts twice: {times:?} of {whole:?}");
    }
}
