//! What is charged to the memory budget, for the page: on it where a server has a budget, and nowhere else.

use std::{fmt, sync::Arc};

use nereid_inference::ModelIdentity;

use crate::{
    model_metrics::Labels,
    page::{Head, Sample, Value},
};

/// Who tells what is charged when the page is asked for.
#[derive(Clone)]
pub struct MemorySource(pub Arc<dyn Fn() -> MemoryReading + Send + Sync>);

/// The budget at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryReading {
    pub budget_bytes: u64,
    pub models: Vec<(ModelIdentity, u64)>,
    /// Reserved for loads under way.
    pub loading_bytes: u64,
    /// Of requests.
    pub in_flight_bytes: u64,
    /// By reason.
    pub refusals: Vec<(&'static str, u64)>,
}

pub(crate) struct MemoryFamily {
    pub(crate) head: Head,
    pub(crate) samples: fn(&MemoryReading) -> Vec<Sample>,
}

pub(crate) const MEMORY_FAMILIES: &[MemoryFamily] = &[
    MemoryFamily {
        head: Head::gauge("nereid_memory_budget_bytes", "Memory that models and requests may take (--memory-budget)"),
        samples: |reading| vec![Sample::bare(reading.budget_bytes as f64)],
    },
    MemoryFamily {
        head: Head::gauge("nereid_memory_model_bytes", "Memory that a loaded model version is charged"),
        samples: |reading| {
            let labelled = |(model, bytes): &(ModelIdentity, u64)| Sample {
                labels: Some(Labels::new(model, &Default::default())),
                value: Value::Number(*bytes as f64),
            };
            reading.models.iter().map(labelled).collect()
        },
    },
    MemoryFamily {
        head: Head::gauge("nereid_memory_loading_bytes", "Memory that is kept free for loads under way"),
        samples: |reading| vec![Sample::bare(reading.loading_bytes as f64)],
    },
    MemoryFamily {
        head: Head::gauge("nereid_memory_in_flight_bytes", "Memory that requests under way are charged"),
        samples: |reading| vec![Sample::bare(reading.in_flight_bytes as f64)],
    },
    MemoryFamily {
        head: Head::counter(
            "nereid_memory_refusals_total",
            "Loads and requests that would have passed the memory budget, by reason: a load before it began, one that was \
             measured to take more, more instances, a request",
        ),
        samples: |reading| {
            let labelled = |(reason, count): &(&'static str, u64)| Sample {
                labels: Some(Labels::one("reason", reason)),
                value: Value::Number(*count as f64),
            };
            reading.refusals.iter().map(labelled).collect()
        },
    },
];

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemorySource")
    }
}
