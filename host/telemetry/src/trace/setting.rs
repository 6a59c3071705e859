//! The settings under which requests of one scope are traced, and the count of those requests.

use nereid_inference::{TraceLevel, TraceMode};
use parking_lot::Mutex;

use super::writer::Sink;

/// Settings in effect for the server or for one model. A change makes a new one, which starts to count anew; traces under
/// way end under the one that they began with.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) id: u64,
    pub(crate) level: TraceLevel,
    pub(crate) rate: u32,
    pub(crate) log_frequency: u32,
    sampling: Mutex<Sampling>,
    /// Told when nobody traces under this setting any more.
    sink: Option<Sink>,
}

/// Which requests are traced. Takes no part in time; one lock for a moment per request while something is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sampling {
    rate: u32,
    /// Traces left; -1 for no end.
    left: i32,
    requests_seen: u32,
    /// Traces taken off the count.
    pub(crate) taken: u64,
}

/// What makes a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) level: TraceLevel,
    pub(crate) rate: u32,
    pub(crate) count: i32,
    pub(crate) log_frequency: u32,
}

// === impl Setting ===

impl Setting {
    pub(crate) fn new(id: u64, values: Values, sink: Option<Sink>) -> Self {
        let Values { level, rate, count, log_frequency } = values;
        Self { id, level, rate, log_frequency, sampling: Mutex::new(Sampling::new(rate, count)), sink }
    }

    /// The values as they are now: the count goes down with every trace.
    pub(crate) fn values(&self) -> Values {
        let count = self.sampling.lock().left;
        Values { level: self.level, rate: self.rate, count, log_frequency: self.log_frequency }
    }

    /// Where its traces go; `None` when nothing is to be traced under it.
    pub(crate) fn sink(&self) -> Option<&Sink> {
        self.sink.as_ref().filter(|_| !self.level.is_off())
    }

    /// Whether the next request is traced. One that continues a trace from elsewhere always is.
    pub(crate) fn sample(&self, is_continued: bool) -> bool {
        self.sampling.lock().next(is_continued)
    }

    /// Whether its traces are counted, and all of them are taken; then how many.
    pub(crate) fn exhausted(&self) -> Option<u64> {
        let sampling = self.sampling.lock();
        (sampling.left == 0 && sampling.taken > 0).then_some(sampling.taken)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Some(sink) = &self.sink {
            sink.retire(self.id);
        }
    }
}

// === impl Sampling ===

impl Sampling {
    pub(crate) fn new(rate: u32, left: i32) -> Self {
        Self { rate, left, requests_seen: 0, taken: 0 }
    }

    /// Whether the next request is traced. One that continues a trace from elsewhere is not taken off the count unless it
    /// would have been its turn anyway.
    pub(crate) fn next(&mut self, is_continued: bool) -> bool {
        if self.rate == 0 || self.left == 0 {
            return is_continued;
        }
        self.requests_seen = self.requests_seen.wrapping_add(1) % self.rate;
        let is_turn = self.requests_seen == 0;
        if is_turn && self.left > 0 {
            self.left -= 1;
            self.taken += 1;
        }
        is_turn || is_continued
    }
}

// === impl Values ===

impl Values {
    /// Why nothing is traced with these values; `None` when something is.
    pub(crate) fn why_idle(&self, mode: TraceMode, has_file: bool) -> Option<&'static str> {
        if self.level.is_off() {
            return Some("tracing is disabled");
        }
        if self.rate == 0 {
            return Some("sample rate must be non-zero");
        }
        if mode == TraceMode::Triton && !has_file {
            return Some("trace file name is not given");
        }
        (self.count == 0).then_some("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rate: u32, count: i32, requests: &str, expected: &str) {
        let mut sampling = Sampling::new(rate, count);
        let traced = requests.chars().map(|request| if sampling.next(request == 'c') { 'T' } else { '.' });
        assert_eq!(traced.collect::<String>(), expected);
    }

    #[test]
    fn every_nth_request_is_traced() {
        check(1, -1, "rrr", "TTT");
        check(3, -1, "rrrrrrr", "..T..T.");
    }

    #[test]
    fn no_more_than_the_count_are_traced() {
        check(1, 2, "rrrr", "TT..");
        check(2, 1, "rrrrrr", ".T....");
        check(1, 0, "rr", "..");
    }

    #[test]
    fn a_request_that_continues_a_trace_is_always_traced() {
        check(1000, -1, "crc", "T.T");
        check(0, -1, "rcr", ".T.");
        check(1, 1, "rrc", "T.T");
        check(2, 1, "ccr", "TT.");
    }
}
