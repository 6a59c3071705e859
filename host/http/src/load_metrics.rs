//! The load report of `generate`: `endpoint-load-metrics`, for balancers that ask for it with
//! `endpoint-load-metrics-format: json` or `text`.
//!
//! Left out, as Triton leaves it out, when the format is unknown or no model publishes the numbers. Costs one reading of
//! the metrics page per request that asks.

use http::{HeaderMap, HeaderName, HeaderValue};
use nereid_protocol::http::{LOAD_METRICS, LOAD_METRICS_FORMAT, LoadFormat, encode_load_metrics};

use crate::HttpSettings;

const HEADER: HeaderName = HeaderName::from_static(LOAD_METRICS);

/// The format that a request asks for, whatever it is.
pub(crate) fn asked(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(LOAD_METRICS_FORMAT).cloned()
}

/// Adds the report to the headers of a response, if it was asked for.
pub(crate) fn report(settings: &HttpSettings, asked: Option<HeaderValue>, headers: &mut HeaderMap) {
    let Some(name) = asked else { return };
    let Some(format) = LoadFormat::named(name.as_bytes()) else {
        tracing::warn!(
            "header '{LOAD_METRICS_FORMAT}' has the value {name:?}, expected json or text; no load is reported"
        );
        return;
    };
    let report = settings.metrics_page.as_ref().and_then(|page| encode_load_metrics(&(page.0)(), format));
    match report.map(HeaderValue::try_from) {
        Some(Ok(value)) => {
            headers.insert(HEADER, value);
        }
        Some(Err(_)) | None => {
            tracing::debug!("'{LOAD_METRICS_FORMAT}' was sent, and no model publishes the load of a cache");
        }
    }
}
