//! The guests of plugins: how many were started, what became of them, and whether a plugin fails so often that it is let rest.
//!
//! Promises: figures go on over swaps of a plugin, because they belong to its model, and leave with it. Costs: one addition for
//! each guest that begins or ends, and two for each call.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use prometheus::proto::MetricFamily;

use crate::{
    model_metrics::Labels,
    page::{Head, Sample, Value, family_of},
};

/// The guests of one model's plugin, over all generations that live at the same time.
#[derive(Debug, Default)]
pub struct GuestFigures {
    started: AtomicU64,
    retired: [AtomicU64; GuestEnd::ALL.len()],
    living: AtomicI64,
    idle: AtomicI64,
    breakers_open: AtomicI64,
    breaker_openings: AtomicU64,
    refused: AtomicU64,
}

/// Why a guest is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEnd {
    /// It did not start.
    Start,
    /// It served as many calls as a guest may.
    Invocations,
    /// Its memory had grown.
    Memory,
    /// It left too many handles open.
    Handles,
    /// It trapped.
    Trap,
    /// It was ended at a limit: its deadline, its processor time, its calls of the host.
    Limit,
    /// Its client left in the middle of a call.
    Cancelled,
    /// It had nothing to do for long.
    Idle,
    /// It was not to be kept: each call has a fresh one, or enough were idle.
    Surplus,
    /// Its generation left.
    Swap,
}

struct GuestFamily {
    head: Head,
    value: fn(&GuestFigures) -> f64,
}

const RETIRED: Head = Head::counter(
    "nereid_plugin_guests_retired_total",
    "Guests of a plugin that are no more, by reason: start, invocations, memory, handles, trap, limit, cancelled, idle, surplus, swap",
);

const FAMILIES: [GuestFamily; 6] = [
    GuestFamily {
        head: Head::counter("nereid_plugin_guests_started_total", "Guests of a plugin that were begun"),
        value: |figures| figures.started.load(Relaxed) as f64,
    },
    GuestFamily {
        head: Head::gauge("nereid_plugin_guests", "Guests of a plugin that there are, idle ones included"),
        value: |figures| figures.living() as f64,
    },
    GuestFamily {
        head: Head::gauge("nereid_plugin_guests_idle", "Guests of a plugin that wait for a request"),
        value: |figures| figures.idle() as f64,
    },
    GuestFamily {
        head: Head::gauge(
            "nereid_plugin_breaker_open",
            "Generations of a plugin whose guests failed so often in a row that requests are refused for a while",
        ),
        value: |figures| figures.breakers_open.load(Relaxed) as f64,
    },
    GuestFamily {
        head: Head::counter(
            "nereid_plugin_breaker_openings_total",
            "How often requests began to be refused, or went on to be",
        ),
        value: |figures| figures.breaker_openings.load(Relaxed) as f64,
    },
    GuestFamily {
        head: Head::counter(
            "nereid_plugin_refused_total",
            "Requests that were refused because a plugin failed so often",
        ),
        value: |figures| figures.refused.load(Relaxed) as f64,
    },
];

// === impl GuestEnd ===

impl GuestEnd {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Invocations,
        Self::Memory,
        Self::Handles,
        Self::Trap,
        Self::Limit,
        Self::Cancelled,
        Self::Idle,
        Self::Surplus,
        Self::Swap,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Invocations => "invocations",
            Self::Memory => "memory",
            Self::Handles => "handles",
            Self::Trap => "trap",
            Self::Limit => "limit",
            Self::Cancelled => "cancelled",
            Self::Idle => "idle",
            Self::Surplus => "surplus",
            Self::Swap => "swap",
        }
    }
}

// === impl GuestFigures ===

impl GuestFigures {
    /// A guest is begun; it is not idle.
    pub fn guest_began(&self) {
        self.started.fetch_add(1, Relaxed);
        self.living.fetch_add(1, Relaxed);
    }

    /// A guest that was not idle is no more.
    pub fn guest_ended(&self, end: GuestEnd) {
        self.living.fetch_sub(1, Relaxed);
        let place = GuestEnd::ALL.iter().position(|known| *known == end);
        if let Some(count) = place.and_then(|place| self.retired.get(place)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A guest has nothing to do.
    pub fn guest_rests(&self) {
        self.idle.fetch_add(1, Relaxed);
    }

    /// A guest that had nothing to do has, or is no more.
    pub fn guest_wakes(&self) {
        self.idle.fetch_sub(1, Relaxed);
    }

    /// Guests that there are.
    pub fn living(&self) -> u64 {
        u64::try_from(self.living.load(Relaxed)).unwrap_or_default()
    }

    /// Those among them that wait for a request.
    pub fn idle(&self) -> u64 {
        u64::try_from(self.idle.load(Relaxed)).unwrap_or_default()
    }

    /// Those that are no more, for this reason.
    pub fn retired(&self, end: GuestEnd) -> u64 {
        let counts = GuestEnd::ALL.iter().zip(&self.retired);
        counts.filter(|(known, _)| **known == end).map(|(_, count)| count.load(Relaxed)).sum()
    }

    /// A generation's requests are refused from now on; `again` when they were before.
    pub fn breaker_opened(&self, again: bool) {
        self.breaker_openings.fetch_add(1, Relaxed);
        self.breakers_open.fetch_add(i64::from(!again), Relaxed);
    }

    /// They are no more.
    pub fn breaker_closed(&self) {
        self.breakers_open.fetch_sub(1, Relaxed);
    }

    /// A request was refused.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}

/// Every family, for these models.
pub(crate) fn gather<'a>(models: impl Iterator<Item = (&'a Arc<str>, &'a GuestFigures)>) -> Vec<MetricFamily> {
    let rows: Vec<(Labels, &GuestFigures)> =
        models.map(|(model, figures)| (Labels::one("model", model), figures)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let sample = |labels: Labels, value: f64| Sample { labels: Some(labels), value: Value::Number(value) };
    let mut families: Vec<MetricFamily> = FAMILIES
        .iter()
        .map(|family| {
            let samples = rows.iter().map(|(labels, figures)| sample(labels.clone(), (family.value)(figures)));
            family_of(family.head, samples)
        })
        .collect();
    let retired = rows.iter().flat_map(|(labels, figures)| {
        GuestEnd::ALL.iter().map(|end| sample(labels.with("reason", end.label()), figures.retired(*end) as f64))
    });
    families.push(family_of(RETIRED, retired));
    families
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn page(figures: &GuestFigures) -> String {
        TextEncoder::new().encode_to_string(&gather([(&"m".into(), figures)].into_iter())).unwrap()
    }

    #[track_caller]
    fn check(figures: &GuestFigures, lines: &[&str]) {
        let page = page(figures);
        for line in lines {
            assert!(page.contains(line), "{line} in {page}");
        }
    }

    #[test]
    fn guests_are_shown_by_what_became_of_them() {
        let figures = GuestFigures::default();
        for end in [GuestEnd::Trap, GuestEnd::Trap, GuestEnd::Idle] {
            figures.guest_began();
            figures.guest_ended(end);
        }
        figures.guest_began();
        figures.guest_rests();
        check(
            &figures,
            &[
                r#"nereid_plugin_guests_started_total{model="m"} 4"#,
                r#"nereid_plugin_guests{model="m"} 1"#,
                r#"nereid_plugin_guests_idle{model="m"} 1"#,
                r#"nereid_plugin_guests_retired_total{model="m",reason="trap"} 2"#,
                r#"nereid_plugin_guests_retired_total{model="m",reason="idle"} 1"#,
                r#"nereid_plugin_guests_retired_total{model="m",reason="swap"} 0"#,
            ],
        );
    }

    #[test]
    fn a_breaker_that_opens_again_is_one() {
        let figures = GuestFigures::default();
        figures.breaker_opened(false);
        figures.breaker_opened(true);
        figures.refused();
        check(
            &figures,
            &[
                r#"nereid_plugin_breaker_open{model="m"} 1"#,
                r#"nereid_plugin_breaker_openings_total{model="m"} 2"#,
                r#"nereid_plugin_refused_total{model="m"} 1"#,
            ],
        );
        figures.breaker_closed();
        check(&figures, &[r#"nereid_plugin_breaker_open{model="m"} 0"#]);
    }
}
