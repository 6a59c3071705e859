//! A generation of a model as whoever puts another in its place sees it: how its requests fare, and which sequences are its own.

use std::time::{Duration, Instant};

use crate::SequenceId;

/// Latencies are told apart to an eighth of a power of two: a quantile is at most 9 % too high.
const BUCKETS_PER_OCTAVE: u32 = 8;

/// Up to 2^36 µs, 19 hours; what takes longer is counted with those.
const BUCKETS: usize = 36 * BUCKETS_PER_OCTAVE as usize;

/// What a served generation says to the repository, when it has something to say; see [`crate::ServedModel::generation`].
pub trait Generation: Send + Sync {
    /// How long, and by what measure, it is watched when it takes another's place; `None` when it is not.
    fn guard(&self) -> Option<SwapGuardSettings>;

    /// What came of its requests of late: at least of those that ended within one guard's window before `now`.
    fn recent(&self, now: Instant) -> Tally;

    /// The BLAKE3 hash of the model's own file, in hexadecimal digits, where its backend knows it.
    fn digest(&self) -> Option<&str> {
        None
    }

    /// Whether more requests may come for a sequence that began here, this one or any.
    fn has_open_sequence(&self, _id: Option<&SequenceId>) -> bool {
        false
    }
}

/// When a generation is sent back, in favour of the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SwapGuardSettings {
    /// How long it is watched, and the generation before it kept warm.
    pub window: Duration,
    /// By how many percentage points its error rate may exceed that of the generation before.
    pub error_percent_max: f64,
    /// How many times the 99th percentile of the generation before its own may be.
    pub p99_ratio_max: f64,
}

/// What came of a number of requests. Costs 1.2 kB.
#[derive(Clone, Debug)]
pub struct Tally {
    pub requests: u64,
    pub failures: u64,
    latencies: [u32; BUCKETS],
}

// === impl SwapGuardSettings ===

impl SwapGuardSettings {
    /// What a plugin gets that asks for nothing: half a minute shows what a client's retries would hide; one request in
    /// ten is more than clients' own mistakes; and five times is no noise of a busy machine.
    pub const DEFAULT: Self = Self { window: Duration::from_secs(30), error_percent_max: 10.0, p99_ratio_max: 5.0 };
}

// === impl Tally ===

impl Tally {
    /// A request has ended.
    pub fn record(&mut self, latency: Duration) {
        self.requests += 1;
        if let Some(count) = self.latencies.get_mut(bucket(latency)) {
            *count = count.saturating_add(1);
        }
    }

    /// What a request got was an error.
    pub fn record_failure(&mut self) {
        self.failures += 1;
    }

    /// Takes in what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        for (count, more) in self.latencies.iter_mut().zip(other.latencies) {
            *count = count.saturating_add(more);
        }
    }

    /// The latency that 99 of 100 requests stayed below; `None` without requests.
    pub fn p99(&self) -> Option<Duration> {
        let counted: u64 = self.latencies.iter().map(|count| u64::from(*count)).sum();
        let mut above = counted / 100;
        let highest = self.latencies.iter().enumerate().rev().find(|(_, count)| {
            let here = u64::from(**count);
            let found = here > above;
            above = above.saturating_sub(here);
            found
        });
        highest.map(|(bucket, _)| upper_bound(bucket))
    }

    /// Requests by which [`Self::p99`] would be above `limit`.
    pub fn slower_than(&self, limit: Duration) -> u64 {
        let above = self.latencies.iter().enumerate().filter(|(bucket, _)| upper_bound(*bucket) > limit);
        above.map(|(_, count)| u64::from(*count)).sum()
    }

    /// Requests that failed, of a hundred.
    pub fn error_percent(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "counts of requests")]
        let rate = self.failures as f64 / self.requests.max(1) as f64;
        (rate * 100.0).min(100.0)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { requests: 0, failures: 0, latencies: [0; BUCKETS] }
    }
}

/// Eighths of octaves above a microsecond.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a logarithm of at most 64, and not negative"
)]
fn bucket(latency: Duration) -> usize {
    let microseconds = latency.as_secs_f64() * 1e6;
    let position = microseconds.max(1.0).log2() * f64::from(BUCKETS_PER_OCTAVE);
    (position as usize).min(BUCKETS - 1)
}

#[allow(clippy::cast_precision_loss, reason = "an index below 300")]
fn upper_bound(bucket: usize) -> Duration {
    let octaves = (bucket + 1) as f64 / f64::from(BUCKETS_PER_OCTAVE);
    Duration::from_secs_f64(octaves.exp2() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(latencies_ms: &[(u64, u32)]) -> Tally {
        let mut tally = Tally::default();
        for (milliseconds, count) in latencies_ms {
            (0..*count).for_each(|_| tally.record(Duration::from_millis(*milliseconds)));
        }
        tally
    }

    /// The 99th percentile is at least this and at most 10 % more.
    #[track_caller]
    fn check_p99(tally: &Tally, milliseconds: u64) {
        let (found, least) = (tally.p99().unwrap(), Duration::from_millis(milliseconds));
        assert!(found >= least && found <= least.mul_f64(1.1), "{found:?}, expected {least:?}");
    }

    #[test]
    fn one_in_a_hundred_may_be_slower_than_the_99th_percentile() {
        assert_eq!(Tally::default().p99(), None);
        check_p99(&tally(&[(10, 99), (900, 1)]), 10);
        check_p99(&tally(&[(10, 98), (900, 2)]), 900);
        check_p99(&tally(&[(7, 1)]), 7);
    }

    #[test]
    fn those_are_slower_that_the_99th_percentile_would_tell_of() {
        let tally = tally(&[(10, 98), (20, 1), (900, 1)]);
        let p99 = tally.p99().unwrap();
        assert_eq!((tally.slower_than(p99), tally.slower_than(p99 - Duration::from_nanos(1))), (1, 2));
        assert_eq!((tally.slower_than(Duration::ZERO), tally.slower_than(Duration::from_secs(2))), (100, 0));
    }

    #[test]
    fn two_tallies_are_one() {
        let mut sum = tally(&[(10, 50)]);
        sum.record_failure();
        sum.add(&tally(&[(900, 50)]));
        assert_eq!((sum.requests, sum.failures), (100, 1));
        check_p99(&sum, 900);
        assert!((sum.error_percent() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_shortest_and_the_longest_have_a_place() {
        for latency in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let mut tally = Tally::default();
            tally.record(latency);
            assert!(tally.p99().is_some(), "{latency:?}");
        }
    }
}
