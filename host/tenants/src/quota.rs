//! How many requests a tenant may make: a rate with a burst, and a number at one time. Pure: the time is an argument.
//!
//! The rate is a token bucket, counted in time instead of tokens (the "virtual scheduling" form of the generic cell rate algorithm,
//! ITU-T I.371): one number says when the bucket would be full again, and a request moves it on by the time that one
//! token takes.

use std::time::Duration;

/// What a tenant may do at most; `None` for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quota {
    pub rate: Option<Rate>,
    pub concurrent_requests: Option<u64>,
}

/// So many requests per second, of which so many may come at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub requests_per_second: f64,
    pub burst: u64,
}

/// What counts against a quota. Times are since a moment that its owner chose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// When the bucket is full again.
    full_at: Duration,
    under_way: u64,
}

/// Which part of the quota a request would exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Exceeded {
    Rate { rate: Rate, wait: Duration },
    Concurrency { most: u64 },
}

// === impl Quota ===

impl Quota {
    /// # Errors
    /// A number that bounds nothing or everything, in words.
    pub fn new(
        requests_per_second: Option<f64>,
        burst: Option<u64>,
        concurrent_requests: Option<u64>,
    ) -> Result<Self, String> {
        let rate = match (requests_per_second, burst) {
            (None, None) => None,
            (None, Some(_)) => return Err("'burst' needs 'requests_per_second'".to_owned()),
            (Some(requests_per_second), burst) => Some(Rate::new(requests_per_second, burst)?),
        };
        if concurrent_requests == Some(0) {
            return Err("'concurrent_requests' is 0: nobody could be served; remove the key or the tenant's API keys"
                .to_owned());
        }
        Ok(Self { rate, concurrent_requests })
    }
}

// === impl Rate ===

impl Rate {
    /// Rates beyond it are no bounds: a request takes longer.
    const MOST_PER_SECOND: f64 = 1e9;
    /// One request in a month.
    const LEAST_PER_SECOND: f64 = 1.0 / (30.0 * 86_400.0);

    /// Without a burst, what comes in one second may come at once.
    fn new(requests_per_second: f64, burst: Option<u64>) -> Result<Self, String> {
        if !(Self::LEAST_PER_SECOND..=Self::MOST_PER_SECOND).contains(&requests_per_second) {
            return Err(format!(
                "'requests_per_second' is {requests_per_second}, expected a number from {:.1e} to {:.0e}",
                Self::LEAST_PER_SECOND,
                Self::MOST_PER_SECOND
            ));
        }
        let burst = burst.unwrap_or(requests_per_second.ceil() as u64);
        if burst == 0 {
            return Err("'burst' is 0: no request could come".to_owned());
        }
        Ok(Self { requests_per_second, burst })
    }

    fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.requests_per_second)
    }

    /// How long it takes to fill an empty bucket.
    fn whole_burst(&self) -> Duration {
        let burst = u32::try_from(self.burst).unwrap_or(u32::MAX);
        self.interval().saturating_mul(burst)
    }
}

// === impl Meter ===

impl Meter {
    /// One more request, if the quota has room for it.
    pub(crate) fn admit(&mut self, quota: &Quota, now: Duration) -> Result<(), Exceeded> {
        if let Some(most) = quota.concurrent_requests
            && self.under_way >= most
        {
            return Err(Exceeded::Concurrency { most });
        }
        if let Some(rate) = quota.rate {
            let full_at = self.full_at.max(now) + rate.interval();
            let latest = now + rate.whole_burst();
            if full_at > latest {
                return Err(Exceeded::Rate { rate, wait: full_at - latest });
            }
            self.full_at = full_at;
        }
        self.under_way += 1;
        Ok(())
    }

    /// One request is answered.
    pub(crate) fn release(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    pub(crate) fn under_way(&self) -> u64 {
        self.under_way
    }
}

#[cfg(test)]
mod tests;
