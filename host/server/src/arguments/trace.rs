//! Flags of request traces: `--trace-config` in all its forms, and the older flags that it replaced.

use std::{env, str::FromStr, time::Duration};

use clap::{ArgAction, Args};
use nereid_inference::{TraceLevel, TraceMode};
use nereid_telemetry::TraceOptions;

use crate::arguments::ArgumentError;

/// Spans that may wait for a collector; more would be memory for a collector that does not come back.
const QUEUE_SPANS_MAX: usize = 100_000;

/// The word in front of an address that has none.
const SCHEME: &str = "http://";

/// What is traced.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Traces")]
pub struct TraceArguments {
    /// Setting of traces; may be given several times. KEY=VALUE: 'mode' (triton or opentelemetry), 'level' (OFF,
    /// TIMESTAMPS, TENSORS; may be repeated), 'rate' (every how many requests), 'count' (how many in all; -1 for no
    /// end). triton,KEY=VALUE: 'file', 'log-frequency' (traces per file). opentelemetry,KEY=VALUE: 'url',
    /// 'resource' (NAME=VALUE), 'bsp_max_queue_size', 'bsp_schedule_delay' (milliseconds),
    /// 'bsp_max_export_batch_size'
    #[arg(long = "trace-config", value_name = "SETTING", action = ArgAction::Append)]
    pub trace_settings: Vec<TraceSetting>,

    // Deprecated by tritonserver, and taken.
    #[arg(long, hide = true)]
    pub trace_file: Option<String>,
    #[arg(long, hide = true, action = ArgAction::Append, value_parser = level)]
    pub trace_level: Vec<TraceLevel>,
    #[arg(long, hide = true)]
    pub trace_rate: Option<u32>,
    #[arg(long, hide = true, allow_negative_numbers = true, value_parser = count)]
    pub trace_count: Option<i32>,
    #[arg(long, hide = true)]
    pub trace_log_frequency: Option<u32>,
}

/// One `--trace-config`: `key=value`, or `mode,key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSetting {
    mode: Option<TraceMode>,
    key: String,
    value: String,
}

// === impl TraceArguments ===

impl TraceArguments {
    /// The same in the words of traces. What the older flags say yields to `--trace-config`.
    ///
    /// # Errors
    /// A setting that does not exist, or a value that is none.
    pub fn options(&self) -> Result<TraceOptions, ArgumentError> {
        let mut options = TraceOptions::default();
        let mut levels = self.trace_level.clone();
        let settings = &mut options.settings;
        settings.rate = self.trace_rate.unwrap_or(settings.rate);
        settings.count = self.trace_count.unwrap_or(settings.count);
        settings.log_frequency = self.trace_log_frequency.unwrap_or(settings.log_frequency);
        settings.file = self.trace_file.clone().unwrap_or_default();
        read_environment(&mut options)?;
        let mut given = Vec::new();
        for setting in &self.trace_settings {
            setting.apply(&mut options, &mut levels, &mut given).map_err(|problem| setting.refused(&problem))?;
        }
        // An OFF anywhere is meant for all.
        let is_off = levels.iter().any(|level| level.is_off());
        let merged = |one: TraceLevel, other: &TraceLevel| TraceLevel {
            timestamps: one.timestamps || other.timestamps,
            tensors: one.tensors || other.tensors,
        };
        options.settings.level = if is_off { TraceLevel::OFF } else { levels.iter().fold(TraceLevel::OFF, merged) };
        if options.settings.mode == TraceMode::OpenTelemetry {
            options.settings.mode_settings = shown(&options, given);
        }
        Ok(options)
    }

    /// What to use in place of the older flags that were given.
    pub fn deprecations(&self) -> impl Iterator<Item = String> {
        let older = [
            (self.trace_file.is_some(), "trace-file", "triton,file=FILE"),
            (!self.trace_level.is_empty(), "trace-level", "level=LEVEL"),
            (self.trace_rate.is_some(), "trace-rate", "rate=RATE"),
            (self.trace_count.is_some(), "trace-count", "count=COUNT"),
            (self.trace_log_frequency.is_some(), "trace-log-frequency", "triton,log-frequency=COUNT"),
        ];
        let given = older.into_iter().filter(|(is_given, _, _)| *is_given);
        given.map(|(_, flag, instead)| format!("--{flag} is deprecated: use --trace-config={instead}"))
    }
}

// === impl TraceSetting ===

impl TraceSetting {
    fn apply(
        &self,
        options: &mut TraceOptions,
        levels: &mut Vec<TraceLevel>,
        given: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        let (settings, open_telemetry) = (&mut options.settings, &mut options.open_telemetry);
        match (self.mode, self.key.as_str()) {
            (None, "mode") => settings.mode = mode(&self.value)?,
            (None, "level") => levels.push(level(&self.value)?),
            (None, "rate") => settings.rate = number(&self.value)?,
            (None, "count") => settings.count = count(&self.value)?,
            (None, _) => return Err("expected mode, level, rate or count".to_owned()),
            (Some(TraceMode::Triton), "file") => settings.file = self.value.clone(),
            (Some(TraceMode::Triton), "log-frequency") => settings.log_frequency = number(&self.value)?,
            (Some(TraceMode::Triton), _) => return Err("expected triton,file or triton,log-frequency".to_owned()),
            (Some(TraceMode::OpenTelemetry), "url") => {
                let scheme = if self.value.contains("://") { "" } else { SCHEME };
                open_telemetry.url = format!("{scheme}{}", self.value);
                given.push((self.key.clone(), self.value.clone()));
            }
            (Some(TraceMode::OpenTelemetry), "resource") => {
                let pair = self.value.split_once('=').filter(|(name, _)| !name.is_empty());
                let (name, value) = pair.ok_or("expected resource=NAME=VALUE")?;
                open_telemetry.resource.push((name.to_owned(), value.to_owned()));
                match given.iter_mut().find(|(key, _)| *key == self.key) {
                    Some((_, all)) => *all = format!("{all},{}", self.value),
                    None => given.push((self.key.clone(), self.value.clone())),
                }
            }
            (Some(TraceMode::OpenTelemetry), key) => set_batching(options, key, &self.value)?,
        }
        Ok(())
    }

    fn refused(&self, problem: &str) -> ArgumentError {
        let mode = self.mode.map(|mode| format!("{},", mode.name())).unwrap_or_default();
        ArgumentError::new(format!("--trace-config={mode}{}={}: {problem}", self.key, self.value))
    }
}

impl FromStr for TraceSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected KEY=VALUE, or MODE,KEY=VALUE with the mode triton or opentelemetry";
        let (key, value) =
            text.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty()).ok_or(FORM)?;
        let (mode, key) = match key.split_once(',') {
            None => (None, key),
            Some((_, "")) => return Err(FORM.to_owned()),
            Some((name, key)) => (Some(mode(name)?), key),
        };
        Ok(Self { mode, key: key.to_owned(), value: value.to_owned() })
    }
}

/// The variables that OpenTelemetry has for the batching of spans.
fn read_environment(options: &mut TraceOptions) -> Result<(), ArgumentError> {
    for key in ["bsp_max_queue_size", "bsp_schedule_delay", "bsp_max_export_batch_size"] {
        let variable = format!("OTEL_{}", key.to_ascii_uppercase());
        if let Ok(value) = env::var(&variable) {
            let refused = |problem| ArgumentError::new(format!("{variable}={value}: {problem}"));
            set_batching(options, key, &value).map_err(refused)?;
        }
    }
    Ok(())
}

/// What the trace API shows of a collector: what was given, and how spans are batched.
fn shown(options: &TraceOptions, given: Vec<(String, String)>) -> Vec<(String, String)> {
    let options = &options.open_telemetry;
    let batching = [
        ("bsp_max_queue_size", options.queue_spans_max.to_string()),
        ("bsp_schedule_delay", options.delay_max.as_millis().to_string()),
        ("bsp_max_export_batch_size", options.batch_spans_max.to_string()),
    ];
    given.into_iter().chain(batching.map(|(key, value)| (key.to_owned(), value))).collect()
}

fn set_batching(options: &mut TraceOptions, key: &str, value: &str) -> Result<(), String> {
    let spans = || {
        let spans = number::<usize>(value)?;
        let in_range = (1..=QUEUE_SPANS_MAX).contains(&spans);
        if in_range { Ok(spans) } else { Err(format!("expected 1 to {QUEUE_SPANS_MAX} spans")) }
    };
    match key {
        "bsp_max_queue_size" => options.open_telemetry.queue_spans_max = spans()?,
        "bsp_max_export_batch_size" => options.open_telemetry.batch_spans_max = spans()?,
        "bsp_schedule_delay" => options.open_telemetry.delay_max = Duration::from_millis(number::<u32>(value)?.into()),
        _ => {
            let text = "expected url, resource, bsp_max_queue_size, bsp_schedule_delay or bsp_max_export_batch_size";
            return Err(text.to_owned());
        }
    }
    Ok(())
}

fn mode(name: &str) -> Result<TraceMode, String> {
    let known = [TraceMode::Triton, TraceMode::OpenTelemetry];
    let mode = known.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(name));
    mode.ok_or_else(|| format!("expected the mode triton or opentelemetry, got '{name}'"))
}

/// A level in the spellings that tritonserver takes.
fn level(word: &str) -> Result<TraceLevel, String> {
    match word.to_ascii_lowercase().as_str() {
        "off" | "false" => Ok(TraceLevel::OFF),
        "timestamps" | "true" | "on" | "min" | "max" => Ok(TraceLevel { timestamps: true, tensors: false }),
        "tensors" => Ok(TraceLevel { timestamps: false, tensors: true }),
        _ => Err("expected OFF, TIMESTAMPS or TENSORS".to_owned()),
    }
}

fn count(text: &str) -> Result<i32, String> {
    let count = number::<i32>(text)?;
    if count >= -1 { Ok(count) } else { Err("expected -1 (no end), 0 or more".to_owned()) }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a number".to_owned())
}

#[cfg(test)]
mod tests;
