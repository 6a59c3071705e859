//! `plugin.toml` beside `config.pbtxt`: what a plugin's owner asks for.
//!
//! Everything in it is optional, and so is the file. An unknown key, a zero or a number of the wrong kind is an error with
//! line, column and caret; nothing is silently ignored.

use std::{
    fs, io,
    num::{NonZeroU32, NonZeroU64},
    path::Path,
    time::Duration,
};

use nereid_inference::InferError;
use nereid_plugin::PluginLimits;
use serde::Deserialize;

/// Its name.
const FILE_NAME: &str = "plugin.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PluginFile {
    limits: LimitsTable,
}

/// Keys are the names that error texts use for the limits.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    memory_mib: Option<NonZeroU64>,
    table_elements: Option<NonZeroU64>,
    deadline_ms: Option<NonZeroU64>,
    cpu_ms: Option<NonZeroU64>,
    host_tensor_mib: Option<NonZeroU64>,
    output_mib: Option<NonZeroU64>,
    host_calls: Option<NonZeroU64>,
    handles: Option<NonZeroU32>,
    model_calls: Option<NonZeroU32>,
    pending_calls: Option<NonZeroU32>,
    call_depth: Option<NonZeroU32>,
    log_kib: Option<NonZeroU64>,
    state_kib: Option<NonZeroU64>,
    metric_series: Option<NonZeroU32>,
    invocations: Option<NonZeroU64>,
}

/// The limits that the file in `model_directory` asks for, `defaults` where it says nothing.
///
/// # Errors
/// The file cannot be read or says something unknown; the text names file, line and column.
pub(crate) fn read(model_directory: &Path, defaults: &PluginLimits) -> Result<PluginLimits, InferError> {
    let path = model_directory.join(FILE_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path.display().to_string(), &text, defaults),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(defaults.clone()),
        Err(error) => {
            Err(InferError::invalid_argument(format!("'{}' cannot be read: {error}", path.display()))
                .with_source(error))
        }
    }
}

fn parse(origin: &str, text: &str, defaults: &PluginLimits) -> Result<PluginLimits, InferError> {
    let file: PluginFile =
        toml::from_str(text).map_err(|error| InferError::invalid_argument(format!("{origin}: {error}")))?;
    Ok(file.limits.over(defaults))
}

// === impl LimitsTable ===

impl LimitsTable {
    fn over(self, defaults: &PluginLimits) -> PluginLimits {
        let number = |asked: Option<NonZeroU64>, default| asked.map_or(default, NonZeroU64::get);
        let small = |asked: Option<NonZeroU32>, default| asked.map_or(default, NonZeroU32::get);
        let bytes = |asked: Option<NonZeroU64>, shift: u32, default| {
            asked.map_or(default, |asked| asked.get().saturating_mul(1 << shift))
        };
        let time = |asked: Option<NonZeroU64>, default| asked.map_or(default, |ms| Duration::from_millis(ms.get()));
        PluginLimits {
            memory_bytes_max: bytes(self.memory_mib, 20, defaults.memory_bytes_max),
            table_elements_max: number(self.table_elements, defaults.table_elements_max),
            wall_time_max: time(self.deadline_ms, defaults.wall_time_max),
            cpu_time_max: time(self.cpu_ms, defaults.cpu_time_max),
            host_tensor_bytes_max: bytes(self.host_tensor_mib, 20, defaults.host_tensor_bytes_max),
            output_bytes_max: bytes(self.output_mib, 20, defaults.output_bytes_max),
            host_calls_max: number(self.host_calls, defaults.host_calls_max),
            handles_max: small(self.handles, defaults.handles_max),
            model_calls_max: small(self.model_calls, defaults.model_calls_max),
            pending_calls_max: small(self.pending_calls, defaults.pending_calls_max),
            call_depth_max: small(self.call_depth, defaults.call_depth_max),
            log_bytes_max: bytes(self.log_kib, 10, defaults.log_bytes_max),
            state_bytes_max: bytes(self.state_kib, 10, defaults.state_bytes_max),
            metric_series_max: small(self.metric_series, defaults.metric_series_max),
            invocations_max: number(self.invocations, defaults.invocations_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_here(text: &str) -> Result<PluginLimits, String> {
        parse("m/plugin.toml", text, &PluginLimits::DEFAULT).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_is_not_written_keeps_its_default() {
        assert_eq!(parse_here("").unwrap(), PluginLimits::DEFAULT);
        let limits = parse_here("[limits]\nmemory_mib = 1\ndeadline_ms = 20\ncall_depth = 3\n").unwrap();
        let expected = PluginLimits {
            memory_bytes_max: 1 << 20,
            wall_time_max: Duration::from_millis(20),
            call_depth_max: 3,
            ..PluginLimits::DEFAULT
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn mistakes_are_shown_with_line_and_caret() {
        for (text, line, expected) in [
            ("[limits]\nmemory = 1\n", "2 | memory = 1\n  | ^^^^^^", "unknown field `memory`, expected one of"),
            ("[limit]\n", "1 | [limit]\n  |  ^^^^^", "unknown field `limit`, expected `limits`"),
            ("[limits]\n\ncpu_ms = 0\n", "3 | cpu_ms = 0\n  |          ^", "expected a nonzero u64"),
            ("[limits]\ncpu_ms = \"1s\"\n", "2 | cpu_ms = \"1s\"\n  |          ^^^^", "invalid type: string"),
        ] {
            let error = parse_here(text).unwrap_err();
            assert!(error.starts_with("m/plugin.toml: "), "{error}");
            assert!(error.contains(line) && error.contains(expected), "expected {line:?} and {expected:?} in {error}");
        }
    }
}
