//! What tenants' clients asked for: on the page where a server has tenants, and nowhere else.

use std::{fmt, sync::Arc};

use nereid_inference::TenantReading;
use prometheus::proto::MetricFamily;

use crate::{
    model_metrics::Labels,
    page::{Head, Sample, Value, family_of},
};

/// Who tells what tenants used when the page is asked for.
#[derive(Clone)]
pub struct TenantSource(pub Arc<dyn Fn() -> Vec<TenantReading> + Send + Sync>);

struct TenantFamily {
    head: Head,
    samples: fn(&TenantReading) -> Vec<Sample>,
}

const FAMILIES: [TenantFamily; 4] = [
    TenantFamily {
        head: Head::counter("nereid_tenant_requests_total", "Requests of a tenant's clients that were admitted"),
        samples: |reading| vec![sample(reading, reading.admitted)],
    },
    TenantFamily {
        head: Head::counter("nereid_tenant_input_bytes_total", "Bytes of the inputs of admitted requests of a tenant"),
        samples: |reading| vec![sample(reading, reading.input_bytes)],
    },
    TenantFamily {
        head: Head::counter(
            "nereid_tenant_rejected_total",
            "Requests of a tenant's clients beyond its quota, by what was exceeded: the rate, or the number under way",
        ),
        samples: |reading| {
            let labels = Labels::one("tenant", &reading.tenant);
            let figures = [("rate", reading.rejected_for_rate), ("concurrency", reading.rejected_for_concurrency)];
            let sample = |(reason, count): (&str, u64)| Sample {
                labels: Some(labels.with("reason", reason)),
                value: Value::Number(count as f64),
            };
            figures.map(sample).into()
        },
    },
    TenantFamily {
        head: Head::gauge(
            "nereid_tenant_requests_under_way",
            "Requests of a tenant's clients that are not answered yet",
        ),
        samples: |reading| vec![sample(reading, reading.under_way)],
    },
];

pub(crate) fn gather(readings: &[TenantReading]) -> Vec<MetricFamily> {
    if readings.is_empty() {
        return Vec::new();
    }
    FAMILIES.iter().map(|family| family_of(family.head, readings.iter().flat_map(family.samples))).collect()
}

fn sample(reading: &TenantReading, value: u64) -> Sample {
    Sample { labels: Some(Labels::one("tenant", &reading.tenant)), value: Value::Number(value as f64) }
}

impl fmt::Debug for TenantSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantSource")
    }
}
