//! How the values of flags are written.

use std::{num::NonZeroU64, str::FromStr};

use nereid_inference::limits::{Bytes, LimitUnit as _, parse_limit};

/// Who decides which models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlMode {
    /// Every model, at the start.
    None,
    /// The directories: every model at the start, and then what changes in them.
    Poll,
    /// Those named by `--load-model`, and then the model control API.
    Explicit,
    /// Each model by its first request.
    OnDemand,
}

/// One `--backend-config`: `backend,key=value`, or `key=value` for every backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSetting {
    pub backend: Option<String>,
    pub key: String,
    pub value: String,
}

/// `true` and `false` in the spellings that tritonserver takes.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err("expected true, false, on, off, 1 or 0".to_owned()),
    }
}

/// A count that cannot be zero.
pub(crate) fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|count| *count >= 1).ok_or_else(|| "expected a whole number from 1".to_owned())
}

/// A number of bytes from 1, with the units of `--limit` or their first letters.
pub(crate) fn bytes(text: &str) -> Result<NonZeroU64, String> {
    let long = match text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']) {
        number if number.len() + 1 == text.len() => format!("{text}iB"),
        _ => text.to_owned(),
    };
    let bytes = parse_limit::<Bytes>(&long, &Bytes::RANGE).ok().and_then(|bytes| NonZeroU64::new(bytes as u64));
    bytes.ok_or_else(|| "expected bytes: a number from 1, or one with KiB, MiB or GiB (or k, M, G)".to_owned())
}

/// Triton's range for the threads of its gRPC service.
pub(crate) fn between_2_and_128(text: &str) -> Result<u64, String> {
    let in_range = text.parse().ok().filter(|count| (2..=128).contains(count));
    in_range.ok_or_else(|| "expected a whole number from 2 to 128".to_owned())
}

/// One part of a path.
pub(crate) fn plain_name(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("expected a name".to_owned()),
        text if text.contains('/') => Err("expected a name without '/'".to_owned()),
        text => Ok(text.to_owned()),
    }
}

// === impl ControlMode ===

impl FromStr for ControlMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "explicit" => Ok(Self::Explicit),
            "poll" => Ok(Self::Poll),
            "ondemand" => Ok(Self::OnDemand),
            _ => Err("expected 'none', 'poll', 'explicit' or 'ondemand'".to_owned()),
        }
    }
}

// === impl BackendSetting ===

impl FromStr for BackendSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A comma behind the '=' belongs to the value.
        let comma = text.find(',').filter(|comma| text.find('=').is_none_or(|equals| *comma < equals));
        let (backend, setting) = match comma.and_then(|comma| text.split_at_checked(comma)) {
            Some((backend, setting)) => (backend, setting.trim_start_matches(',')),
            None => ("", text),
        };
        let pair = setting.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or("expected BACKEND,KEY=VALUE, or KEY=VALUE for every backend")?;
        let backend = Some(backend).filter(|backend| !backend.is_empty()).map(str::to_owned);
        Ok(Self { backend, key: key.to_owned(), value: value.to_owned() })
    }
}
