//! How long the requests of a repeated call took.

use std::{fmt, time::Duration};

/// At least one duration, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    sorted: Vec<Duration>,
}

// === impl Latencies ===

impl Latencies {
    /// Of durations in any order.
    pub fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self { sorted: durations }
    }

    /// The smallest duration that this share of all does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).or(self.sorted.last()).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> Duration {
        self.sorted.iter().sum()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |share| self.quantile(share).as_secs_f64() * 1e3;
        let per_second = self.sorted.len() as f64 / self.total().as_secs_f64().max(f64::EPSILON);
        write!(
            f,
            "{} requests one after the other, {per_second:.1} per second; ms: min {:.3}, median {:.3}, p90 {:.3}, p99 {:.3}, max {:.3}",
            self.sorted.len(),
            milliseconds(0.0),
            milliseconds(0.5),
            milliseconds(0.9),
            milliseconds(0.99),
            milliseconds(1.0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_durations_that_occurred() {
        let latencies = Latencies::new((1..=100).rev().map(Duration::from_millis).collect());
        let expected = [(0.0, 1), (0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)];
        for (share, milliseconds) in expected {
            assert_eq!(latencies.quantile(share), Duration::from_millis(milliseconds), "{share}");
        }
        assert_eq!(Latencies::new(vec![]).quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn the_line_has_rate_and_quantiles() {
        let latencies = Latencies::new(vec![Duration::from_millis(10), Duration::from_millis(30)]);
        let expected = "2 requests one after the other, 50.0 per second; \
                        ms: min 10.000, median 10.000, p90 30.000, p99 30.000, max 30.000";
        assert_eq!(latencies.to_string(), expected);
    }
}
