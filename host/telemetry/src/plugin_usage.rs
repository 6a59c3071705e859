//! What plugins used, by the tenant for whom they did: what an operator bills.
//!
//! Promises: figures go on over swaps of a plugin, because they belong to its model, and leave with it. What a call used is
//! counted when it is over, also when it was ended. Costs: two look-ups under a lock and six additions per call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use prometheus::proto::MetricFamily;

use crate::{
    model_metrics::Labels,
    page::{Head, Sample, Value, family_of},
    plugin_guests::{self, GuestFigures},
};

/// The label of what was done for nobody's clients.
const NOBODY: &str = "";

/// What the plugins of all models used.
#[derive(Debug, Default)]
pub struct PluginUsage {
    models: Mutex<BTreeMap<Arc<str>, Weak<ModelUsage>>>,
}

/// What one model's plugin used.
#[derive(Debug, Default)]
pub struct ModelUsage {
    by_tenant: Mutex<BTreeMap<Arc<str>, Arc<Usage>>>,
    guests: GuestFigures,
}

/// What one model's plugin used for one tenant.
#[derive(Debug, Default)]
pub struct Usage {
    requests: AtomicU64,
    failures: AtomicU64,
    cpu_ns: AtomicU64,
    input_bytes: AtomicU64,
    output_bytes: AtomicU64,
    model_calls: AtomicU64,
    http_requests: AtomicU64,
    http_sent_bytes: AtomicU64,
    http_received_bytes: AtomicU64,
    encoded_tokens: AtomicU64,
    decoded_tokens: AtomicU64,
}

struct UsageFamily {
    head: Head,
    value: fn(&Usage) -> f64,
}

const FAMILIES: [UsageFamily; 11] = [
    UsageFamily {
        head: Head::counter("nereid_plugin_requests_total", "Requests that a plugin was given, by tenant"),
        value: |usage| usage.requests.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter(
            "nereid_plugin_failures_total",
            "Requests that a plugin answered with an error, or not at all",
        ),
        value: |usage| usage.failures.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter(
            "nereid_plugin_cpu_seconds_total",
            "Processor time of a plugin and of the host's operations for it, in seconds; of a batch each request has its share",
        ),
        value: |usage| Duration::from_nanos(usage.cpu_ns.load(Relaxed)).as_secs_f64(),
    },
    UsageFamily {
        head: Head::counter(
            "nereid_plugin_input_bytes_total",
            "Bytes of the inputs of requests that a plugin was given",
        ),
        value: |usage| usage.input_bytes.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter("nereid_plugin_output_bytes_total", "Bytes of the outputs that a plugin answered"),
        value: |usage| usage.output_bytes.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter("nereid_plugin_model_calls_total", "Calls of other models that a plugin made"),
        value: |usage| usage.model_calls.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter("nereid_plugin_http_requests_total", "Requests that a plugin made to other servers"),
        value: |usage| usage.http_requests.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter("nereid_plugin_http_sent_bytes_total", "Bytes of the bodies of those requests"),
        value: |usage| usage.http_sent_bytes.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter("nereid_plugin_http_received_bytes_total", "Bytes of the bodies of the answers to them"),
        value: |usage| usage.http_received_bytes.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter(
            "nereid_plugin_encoded_tokens_total",
            "Tokens that the host's tokenizers made of texts for a plugin, without padding",
        ),
        value: |usage| usage.encoded_tokens.load(Relaxed) as f64,
    },
    UsageFamily {
        head: Head::counter(
            "nereid_plugin_decoded_tokens_total",
            "Tokens of which the host's tokenizers made texts for a plugin",
        ),
        value: |usage| usage.decoded_tokens.load(Relaxed) as f64,
    },
];

// === impl PluginUsage ===

impl PluginUsage {
    /// The figures of `model`: the same ones for all of its generations that live at the same time.
    pub fn of_model(&self, model: &Arc<str>) -> Arc<ModelUsage> {
        let mut models = self.models.lock();
        models.retain(|_, usage| usage.strong_count() > 0);
        if let Some(usage) = models.get(model).and_then(Weak::upgrade) {
            return usage;
        }
        let usage = Arc::new(ModelUsage::default());
        models.insert(model.clone(), Arc::downgrade(&usage));
        usage
    }

    /// Every family that has a sample.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let living: Vec<(Arc<str>, Arc<ModelUsage>)> = {
            let models = self.models.lock();
            models.iter().filter_map(|(model, usage)| Some((model.clone(), usage.upgrade()?))).collect()
        };
        let mut families = plugin_guests::gather(living.iter().map(|(model, usage)| (model, &usage.guests)));
        let rows: Vec<(Labels, Arc<Usage>)> = living.iter().flat_map(|(model, usage)| usage.rows(model)).collect();
        if rows.is_empty() {
            return families;
        }
        let sample = |family: &UsageFamily, labels: &Labels, usage: &Usage| Sample {
            labels: Some(labels.clone()),
            value: Value::Number((family.value)(usage)),
        };
        let used = FAMILIES.iter();
        families.extend(
            used.map(|family| family_of(family.head, rows.iter().map(|(labels, usage)| sample(family, labels, usage)))),
        );
        families
    }
}

// === impl ModelUsage ===

impl ModelUsage {
    /// The plugin's guests.
    pub fn guests(&self) -> &GuestFigures {
        &self.guests
    }

    /// The figures for a tenant, or for those who are nobody's.
    pub fn of_tenant(&self, tenant: Option<&Arc<str>>) -> Arc<Usage> {
        let mut by_tenant = self.by_tenant.lock();
        if let Some(usage) = by_tenant.get(tenant.map_or(NOBODY, |tenant| tenant)) {
            return usage.clone();
        }
        let name = tenant.cloned().unwrap_or_else(|| NOBODY.into());
        by_tenant.entry(name).or_default().clone()
    }

    fn rows(&self, model: &str) -> Vec<(Labels, Arc<Usage>)> {
        let labels = Labels::one("model", model);
        let by_tenant = self.by_tenant.lock();
        by_tenant.iter().map(|(tenant, usage)| (labels.with("tenant", tenant), usage.clone())).collect()
    }
}

// === impl Usage ===

impl Usage {
    /// A request was given to the plugin.
    pub fn request(&self, input_bytes: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.input_bytes.fetch_add(input_bytes, Relaxed);
    }

    /// It took so much of a processor.
    pub fn computed(&self, time: Duration) {
        self.cpu_ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// It answered outputs.
    pub fn answered(&self, output_bytes: u64) {
        self.output_bytes.fetch_add(output_bytes, Relaxed);
    }

    /// It ended with an error.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// It made a request to another server.
    pub fn called_http(&self) {
        self.http_requests.fetch_add(1, Relaxed);
    }

    /// It sent bytes to one.
    pub fn sent_http(&self, bytes: u64) {
        self.http_sent_bytes.fetch_add(bytes, Relaxed);
    }

    /// It received bytes from one.
    pub fn received_http(&self, bytes: u64) {
        self.http_received_bytes.fetch_add(bytes, Relaxed);
    }

    /// Texts of its became tokens.
    pub fn encoded(&self, tokens: u64) {
        self.encoded_tokens.fetch_add(tokens, Relaxed);
    }

    /// Tokens of its became texts.
    pub fn decoded(&self, tokens: u64) {
        self.decoded_tokens.fetch_add(tokens, Relaxed);
    }

    /// It called another model.
    pub fn called_model(&self) {
        self.model_calls.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn page(usage: &PluginUsage) -> String {
        TextEncoder::new().encode_to_string(&usage.gather()).unwrap()
    }

    #[test]
    fn what_was_used_is_shown_by_model_and_tenant() {
        let usage = PluginUsage::default();
        let model = usage.of_model(&"m".into());
        let acme = model.of_tenant(Some(&"acme".into()));
        acme.request(100);
        acme.computed(Duration::from_millis(250));
        acme.answered(10);
        acme.called_model();
        acme.called_http();
        acme.sent_http(3);
        acme.received_http(7);
        acme.encoded(11);
        acme.decoded(5);
        model.of_tenant(None).request(1);
        model.of_tenant(None).failed();
        let page = page(&usage);
        for line in [
            r#"nereid_plugin_requests_total{model="m",tenant="acme"} 1"#,
            r#"nereid_plugin_cpu_seconds_total{model="m",tenant="acme"} 0.25"#,
            r#"nereid_plugin_input_bytes_total{model="m",tenant="acme"} 100"#,
            r#"nereid_plugin_output_bytes_total{model="m",tenant="acme"} 10"#,
            r#"nereid_plugin_model_calls_total{model="m",tenant="acme"} 1"#,
            r#"nereid_plugin_http_requests_total{model="m",tenant="acme"} 1"#,
            r#"nereid_plugin_http_sent_bytes_total{model="m",tenant="acme"} 3"#,
            r#"nereid_plugin_http_received_bytes_total{model="m",tenant="acme"} 7"#,
            r#"nereid_plugin_encoded_tokens_total{model="m",tenant="acme"} 11"#,
            r#"nereid_plugin_decoded_tokens_total{model="m",tenant="acme"} 5"#,
            r#"nereid_plugin_failures_total{model="m",tenant=""} 1"#,
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }

    #[test]
    fn figures_go_on_while_a_generation_lives_and_leave_with_the_last() {
        let usage = PluginUsage::default();
        let first = usage.of_model(&"m".into());
        first.of_tenant(None).request(0);
        let second = usage.of_model(&"m".into());
        drop(first);
        second.of_tenant(None).request(0);
        assert!(page(&usage).contains(r#"nereid_plugin_requests_total{model="m",tenant=""} 2"#));
        drop(second);
        assert_eq!(page(&usage), "");
    }
}
