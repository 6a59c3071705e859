//! Whether a generation that has just taken another's place may stay: a state machine that is told the time and the counts.
//!
//! ```text
//!   Watching ──> Passed     the window is over
//!      └───────> Tripped    its errors or its latencies are out of proportion to those of the generation before
//! ```
//! A verdict is final. Few requests prove nothing: a generation that nobody calls passes.

use std::time::{Duration, Instant};

use nereid_inference::{SwapGuardSettings, Tally};

/// Fewer say nothing about a rate.
const REQUESTS_MIN: u64 = 20;

/// Fewer failures may be one client's mistake.
const FAILURES_MIN: f64 = 5.0;

/// Standard deviations by which failures must exceed what is expected: there are hundreds of looks, and none may be wrong by
/// chance.
const DEVIATIONS: f64 = 4.0;

/// By how many the rate of the generation before may be underestimated: nineteen of twenty lie within.
const BASELINE_DEVIATIONS: f64 = 2.0;

/// What is assumed at most of a generation of which little is known: one that fails every request is not as good as it.
const EXPECTED_RATE_MAX: f64 = 0.75;

/// Below so many on either side, a 99th percentile is the one or two slowest requests.
const LATENCIES_MIN: u64 = 300;

/// A machine that is busy for a moment makes any small latency a multiple of itself.
const P99_EXCESS_MIN: Duration = Duration::from_millis(20);

/// A machine that stands still for a moment makes every request slow that is under way, which may be one in a hundred so far: a build
/// that is slow is so in several moments.
const SLOW_MOMENTS_MIN: u32 = 3;

/// From one of these moments to the next.
const MOMENT: Duration = Duration::from_millis(500);

/// Watches one generation.
#[derive(Clone, Debug)]
pub(crate) struct SwapGuard {
    settings: SwapGuardSettings,
    /// What the generation before made of its requests.
    baseline: Tally,
    until: Instant,
    slow: Slow,
    verdict: Verdict,
}

/// Requests that were too slow, by the measure of the generation before.
#[derive(Clone, Debug, Default)]
struct Slow {
    /// At the last look.
    requests: u64,
    /// In which some were added.
    moments: u32,
    last_moment: Option<Instant>,
}

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Watching,
    Passed,
    Tripped { why: String },
}

// === impl SwapGuard ===

impl SwapGuard {
    /// The generation took its place at `now`.
    pub(crate) fn new(settings: SwapGuardSettings, baseline: Tally, now: Instant) -> Self {
        // A window beyond the end of time is one that never ends.
        let until = now.checked_add(settings.window).unwrap_or(now);
        Self { settings, baseline, until, slow: Slow::default(), verdict: Verdict::Watching }
    }

    /// What is known at `now`, given all that came of its requests.
    pub(crate) fn look(&mut self, now: Instant, tally: &Tally) -> &Verdict {
        if self.verdict == Verdict::Watching {
            self.verdict = match self.errors(tally).or_else(|| self.latencies(now, tally)) {
                Some(why) => Verdict::Tripped { why },
                None if now >= self.until => Verdict::Passed,
                None => Verdict::Watching,
            };
        }
        &self.verdict
    }

    fn errors(&self, tally: &Tally) -> Option<String> {
        let SwapGuardSettings { error_percent_max, .. } = self.settings;
        let (requests, failures) = (count(tally.requests), count(tally.failures));
        let expected_rate = self.expected_rate();
        let excess = failures - requests * expected_rate;
        let deviation = (requests * expected_rate * (1.0 - expected_rate)).sqrt();
        let allowed = FAILURES_MIN.max(requests * error_percent_max / 100.0).max(DEVIATIONS * deviation);
        (tally.requests >= REQUESTS_MIN && excess > allowed).then(|| {
            format!(
                "{:.1} % of {} requests failed, {:.1} % of {} before: more than {error_percent_max} points worse \
                 (swap_guard_error_percent)",
                tally.error_percent(),
                tally.requests,
                self.baseline.error_percent(),
                self.baseline.requests
            )
        })
    }

    /// The highest error rate that the generation before may well have had, as if four more requests had been counted and two
    /// had failed: of few, little is known, and of none nothing.
    fn expected_rate(&self) -> f64 {
        let requests = count(self.baseline.requests) + 4.0;
        let rate = ((count(self.baseline.failures) + 2.0) / requests).min(1.0);
        (rate + BASELINE_DEVIATIONS * (rate * (1.0 - rate) / requests).sqrt()).min(EXPECTED_RATE_MAX.max(rate))
    }

    fn latencies(&mut self, now: Instant, tally: &Tally) -> Option<String> {
        if self.baseline.requests < LATENCIES_MIN {
            return None;
        }
        let (ratio_max, before) = (self.settings.p99_ratio_max, self.baseline.p99()?);
        // A ratio that nothing exceeds gives a latency that nothing has.
        let limit = Duration::try_from_secs_f64(before.as_secs_f64() * ratio_max).unwrap_or(Duration::MAX);
        let limit = limit.max(before + P99_EXCESS_MIN);
        let moments = self.slow.note(now, tally.slower_than(limit));
        let p99 = tally.p99().filter(|p99| *p99 > limit)?;
        (tally.requests >= LATENCIES_MIN && moments >= SLOW_MOMENTS_MIN).then(|| {
            format!(
                "the 99th percentile of {} requests is {p99:.1?}, {before:.1?} before: more than {ratio_max} times as long \
                 (swap_guard_p99_ratio)",
                tally.requests
            )
        })
    }
}

// === impl Slow ===

impl Slow {
    /// So many there are at `now`; the moments in which some were added.
    fn note(&mut self, now: Instant, requests: u64) -> u32 {
        let is_apart = self.last_moment.is_none_or(|last| now.saturating_duration_since(last) >= MOMENT);
        if requests > self.requests && is_apart {
            self.moments += 1;
            self.last_moment = Some(now);
        }
        self.requests = requests;
        self.moments
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of requests")]
fn count(requests: u64) -> f64 {
    requests as f64
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
