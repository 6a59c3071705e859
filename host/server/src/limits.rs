//! Every limit of the server in one struct, and the tables in which operators read them.
//!
//! Each crate declares what it keeps (`nereid_inference::limits!` says how); here they are put together, set by
//! `--limit NAME=VALUE` and shown by `nereid limits`. README's tables are compared with these by a test. Limits of one
//! model stand in its configuration, those of one plugin in its `plugin.toml`; numbers of the protocol do not change.

use std::{fmt, time::Duration};

use nereid_access::{FILE_BYTES_MAX, HANDSHAKE_MAX, HANDSHAKES_MAX, KEYS_MAX};
use nereid_backend_fil::FOREST_BYTES_MAX;
use nereid_backend_python::PythonLimits;
use nereid_backend_wasm::PLUGIN_FILE_BYTES_MAX;
use nereid_cache::CacheLimits;
use nereid_grpc::GrpcLimits;
use nereid_http::HttpLimits;
use nereid_inference::{
    RESPONSES_BUFFERED_MAX,
    limits::{Bytes, Count, LimitRow, LimitSet, LimitUnit, Time, show_limit},
};
use nereid_memory::MemoryLimits;
use nereid_pipeline::{INSTANCES_MAX, PipelineLimits};
use nereid_plugin::PluginLimits;
use nereid_protocol::{CLASSIFIED_ELEMENTS_MAX, grpc::SEQUENCE_ID_CHARACTERS_MAX, http};
use nereid_repository::{CONFIG_BYTES_MAX, RepositoryLimits};
use nereid_scheduler::QUEUE_REQUESTS_MAX;
use nereid_shared_memory::SharedMemoryLimits;
use nereid_tenants::TENANTS_MAX;

use crate::{operator_file::OPERATOR_FILE_BYTES_MAX, table::Table};

/// What the server keeps, crate by crate. A new part is a field and a line in [`Limits::parts`] and
/// [`Limits::parts_mut`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub http: HttpLimits,
    pub grpc: GrpcLimits,
    pub shared_memory: SharedMemoryLimits,
    pub repository: RepositoryLimits,
    pub pipeline: PipelineLimits,
    pub cache: CacheLimits,
    pub memory: MemoryLimits,
    pub python: PythonLimits,
}

/// A limit that no flag changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedRow {
    pub(crate) what: &'static str,
    pub(crate) value: String,
    /// What changes it, if anything does.
    pub(crate) changed_by: &'static str,
}

/// A limit of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PluginRow {
    /// In `plugin.toml`.
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) default: String,
    pub(crate) ceiling: String,
}

// === impl Limits ===

impl Limits {
    /// The defaults, changed by settings written `NAME=VALUE`; the last one of a name counts.
    ///
    /// # Errors
    /// The setting, and what is wrong with it.
    pub fn with(settings: &[String]) -> Result<Self, String> {
        let mut limits = Self::default();
        for setting in settings {
            limits.set(setting).map_err(|problem| format!("--limit={setting}: {problem}"))?;
        }
        Ok(limits)
    }

    fn set(&mut self, setting: &str) -> Result<(), String> {
        let (name, value) = setting.split_once('=').ok_or("expected NAME=VALUE; 'nereid limits' lists the names")?;
        for part in self.parts_mut() {
            if part.set(name.trim(), value)? {
                return Ok(());
            }
        }
        let known = self.rows();
        let area = name.split('-').next().unwrap_or(name);
        let similar: Vec<&str> = known.iter().map(|row| row.name).filter(|known| known.starts_with(area)).collect();
        let similar = if similar.is_empty() { String::new() } else { format!(" ({})", similar.join(", ")) };
        Err(format!("there is no limit '{name}'{similar}; 'nereid limits' lists all of them"))
    }

    /// Every limit that a flag changes.
    pub fn rows(&self) -> Vec<LimitRow> {
        self.parts().into_iter().flat_map(LimitSet::rows).collect()
    }

    fn parts(&self) -> [&dyn LimitSet; 8] {
        [
            &self.http,
            &self.grpc,
            &self.shared_memory,
            &self.repository,
            &self.pipeline,
            &self.cache,
            &self.memory,
            &self.python,
        ]
    }

    fn parts_mut(&mut self) -> [&mut dyn LimitSet; 8] {
        [
            &mut self.http,
            &mut self.grpc,
            &mut self.shared_memory,
            &mut self.repository,
            &mut self.pipeline,
            &mut self.cache,
            &mut self.memory,
            &mut self.python,
        ]
    }
}

/// What `nereid limits` prints.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = Table::new(["Limit", "Value", "Default", "Of what"]);
        for LimitRow { name, what, default, value } in self.rows() {
            server.push([name.to_owned(), value, default, what.to_owned()]);
        }
        writeln!(f, "Of the server; --limit NAME=VALUE changes them:\n{server}")?;
        let mut plugins = Table::new(["Key", "Default", "At most", "Of what"]);
        for PluginRow { key, what, default, ceiling } in plugin_rows() {
            plugins.push([key.to_owned(), default, ceiling, what.to_owned()]);
        }
        writeln!(f, "Of one plugin, per call; [limits] in plugin.toml beside config.pbtxt changes them:\n{plugins}")?;
        let mut fixed = Table::new(["Limit", "Changed by", "Of what"]);
        for FixedRow { what, value, changed_by } in fixed_rows() {
            fixed.push([value, changed_by.to_owned(), what.to_owned()]);
        }
        write!(f, "Of models, and of the protocol:\n{fixed}")
    }
}

/// What a model's configuration or another flag changes, and the numbers of the protocol.
pub(crate) fn fixed_rows() -> Vec<FixedRow> {
    let row = |what, value, changed_by| FixedRow { what, value, changed_by };
    let count = show_limit::<Count>;
    let bytes = |value: u64| Bytes::from_number(value).map(show_limit::<Bytes>).unwrap_or_default();
    vec![
        row(
            "requests that wait for one model, per priority level",
            count(QUEUE_REQUESTS_MAX),
            "`max_queue_size` in `default_queue_policy` and `priority_queue_policy`",
        ),
        row("instances of one model", count(INSTANCES_MAX), ""),
        row("responses that wait for a slow reader, per request", count(RESPONSES_BUFFERED_MAX), ""),
        row("bytes of a configuration", bytes(CONFIG_BYTES_MAX), ""),
        row("bytes of a file of API keys or of certificates", bytes(FILE_BYTES_MAX), ""),
        row("API keys of one file", count(KEYS_MAX), ""),
        row("bytes of a server configuration", bytes(OPERATOR_FILE_BYTES_MAX), ""),
        row("bytes of a plugin.toml", bytes(PLUGIN_FILE_BYTES_MAX), ""),
        row("tenants", count(TENANTS_MAX), ""),
        row("time for a TLS handshake", show_limit::<Time>(HANDSHAKE_MAX), ""),
        row("TLS handshakes at one time, of gRPC and of metrics each", count(HANDSHAKES_MAX), ""),
        row("file of a tree forest", bytes(FOREST_BYTES_MAX), ""),
        row(
            "threads that share large batches of tree forests",
            "one per processor".to_owned(),
            "`--backend-config=fil,threads=COUNT`, and `cpu_nthread` of a model",
        ),
        row("models loaded at the same time", count(4), "`--model-load-thread-count`"),
        row(
            "time for requests under way at the end",
            show_limit::<Time>(Duration::from_secs(30)),
            "`--exit-timeout-secs`",
        ),
        row("arrays inside arrays in JSON `data`", count(http::JSON_NESTING_MAX), ""),
        row("members of a JSON object of parameters", count(http::PARAMETERS_MAX), ""),
        row("characters of a sequence id", count(SEQUENCE_ID_CHARACTERS_MAX), ""),
        row("elements of one classified batch item", count(CLASSIFIED_ELEMENTS_MAX as usize), ""),
    ]
}

/// What a plugin gets, and what it may ask for.
pub(crate) fn plugin_rows() -> Vec<PluginRow> {
    let mut rows = vec![
        plugin_row::<Bytes>("memory_mib", "memory of a guest", both(|limits| limits.memory_bytes_max)),
        plugin_row::<Time>(
            "deadline_ms",
            "from start to end, waiting for models included",
            milliseconds(|limits| limits.wall_time_max),
        ),
        plugin_row::<Time>(
            "cpu_ms",
            "processor time, operations of the host included, waiting for models excluded",
            milliseconds(|limits| limits.cpu_time_max),
        ),
        plugin_row::<Bytes>(
            "host_tensor_mib",
            "host memory behind tensors that it made or got from models, and for operations",
            both(|limits| limits.host_tensor_bytes_max),
        ),
        plugin_row::<Bytes>("output_mib", "bytes of all outputs", both(|limits| limits.output_bytes_max)),
        plugin_row::<Count>("host_calls", "calls of imported functions", both(|limits| limits.host_calls_max)),
        plugin_row::<Count>("model_calls", "calls of other models", both(|limits| limits.model_calls_max.into())),
        plugin_row::<Count>(
            "pending_calls",
            "calls of other models at one time",
            both(|limits| limits.pending_calls_max.into()),
        ),
        plugin_row::<Count>("call_depth", "models in a chain of calls", both(|limits| limits.call_depth_max.into())),
        plugin_row::<Count>("handles", "open handles", both(|limits| limits.handles_max.into())),
        plugin_row::<Count>("table_elements", "table elements of a guest", both(|limits| limits.table_elements_max)),
        plugin_row::<Bytes>("log_kib", "log lines", both(|limits| limits.log_bytes_max)),
        plugin_row::<Bytes>("state_kib", "what the model keeps between calls", both(|limits| limits.state_bytes_max)),
        plugin_row::<Count>(
            "metric_series",
            "label sets of the model's own metrics",
            both(|limits| limits.metric_series_max.into()),
        ),
    ];
    rows.extend(plugin_life_rows());
    rows.extend(plugin_http_rows());
    rows.push(plugin_row::<Count>(
        "invocations",
        "calls before a guest is replaced by a fresh one",
        both(|limits| limits.invocations_max),
    ));
    rows
}

fn plugin_life_rows() -> Vec<PluginRow> {
    vec![
        plugin_row::<Count>(
            "spans",
            "spans, events and attributes that it adds to traces",
            both(|limits| limits.spans_max.into()),
        ),
        plugin_row::<Bytes>("span_kib", "bytes of those", both(|limits| limits.span_bytes_max)),
        plugin_row::<Time>(
            "readiness_ms",
            "one check whether an instance can work; longer is \"not ready\"",
            milliseconds(|limits| limits.readiness_time_max),
        ),
        plugin_row::<Time>(
            "drain_ms",
            "what an instance does when nothing is routed to it any more",
            milliseconds(|limits| limits.drain_time_max),
        ),
    ]
}

fn plugin_http_rows() -> Vec<PluginRow> {
    vec![
        plugin_row::<Time>(
            "http_connect_ms",
            "a connection to a server that it calls",
            milliseconds(|limits| limits.http_connect_max),
        ),
        plugin_row::<Time>(
            "http_timeout_ms",
            "one request to a server, the answer's body included",
            milliseconds(|limits| limits.http_time_max),
        ),
        plugin_row::<Bytes>(
            "http_request_mib",
            "the body of one request to a server",
            both(|limits| limits.http_request_bytes_max),
        ),
        plugin_row::<Bytes>(
            "http_response_mib",
            "the body of the answer",
            both(|limits| limits.http_response_bytes_max),
        ),
        plugin_row::<Count>(
            "http_in_flight",
            "requests to servers at one time, all guests together",
            both(|limits| limits.http_in_flight_max.into()),
        ),
    ]
}

fn plugin_row<U: LimitUnit>(key: &'static str, what: &'static str, values: [u64; 2]) -> PluginRow {
    let [default, ceiling] = values.map(|value| U::from_number(value).map(show_limit::<U>).unwrap_or_default());
    PluginRow { key, what, default, ceiling }
}

fn both(value: fn(&PluginLimits) -> u64) -> [u64; 2] {
    [value(&PluginLimits::DEFAULT), value(&PluginLimits::CEILING)]
}

fn milliseconds(time: fn(&PluginLimits) -> Duration) -> [u64; 2] {
    [&PluginLimits::DEFAULT, &PluginLimits::CEILING].map(|limits| Time::to_number(time(limits)))
}

#[cfg(test)]
mod tests;
