//! The load that a language model reports with its answers, in the words of ORCA (Open Request Cost Aggregation): how
//! full its cache is, and how many tokens fit it.
//!
//! Promises: both numbers come from the family that TensorRT-LLM's backend publishes, found on the metrics page itself,
//! so that whoever publishes such a family is reported. Nothing is said where a number is missing or makes no sense.

use std::fmt::Write;

/// Asks for the report, and how it is to be written.
pub const LOAD_METRICS_FORMAT: &str = "endpoint-load-metrics-format";

/// Carries it.
pub const LOAD_METRICS: &str = "endpoint-load-metrics";

const FAMILY: &str = "nv_trt_llm_kv_cache_block_metrics";
const BLOCK_TYPE: &str = "kv_cache_block_type";

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFormat {
    Json,
    Text,
}

/// The cache's blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Blocks {
    used: Option<f64>,
    max: Option<f64>,
    tokens_per_block: Option<f64>,
}

/// The header's value for a metrics page; `None` when the page does not say enough.
pub fn encode_load_metrics(page: &str, format: LoadFormat) -> Option<String> {
    let Blocks { used, max, tokens_per_block } = Blocks::read(page);
    let (used, max, tokens_per_block) = (used?, max?, tokens_per_block?);
    let utilization = if max > 0.0 { used / max } else { 0.0 };
    let capacity = (max * tokens_per_block) as u64;
    Some(match format {
        LoadFormat::Json => {
            let mut number = ryu::Buffer::new();
            let utilization = number.format(utilization);
            format!(
                r#"JSON {{"named_metrics":{{"kv_cache_utilization":{utilization},"max_token_capacity":{capacity}}}}}"#
            )
        }
        LoadFormat::Text => {
            let mut text = format!("TEXT named_metrics.kv_cache_utilization={utilization:.6}");
            // Writing into a string does not fail.
            let _ = write!(text, ", named_metrics.max_token_capacity={capacity}");
            text
        }
    })
}

/// Labels and value of a line of the family.
fn series(line: &str) -> Option<(&str, f64)> {
    let (labels, value) = line.strip_prefix(FAMILY)?.strip_prefix('{')?.rsplit_once('}')?;
    let value =
        value.split_whitespace().next()?.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    Some((labels, value))
}

/// The value of the label that tells the blocks apart.
fn block_type(labels: &str) -> Option<&str> {
    labels.split(',').find_map(|label| label.trim().strip_prefix(BLOCK_TYPE)?.strip_prefix("=\"")?.strip_suffix('"'))
}

// === impl LoadFormat ===

impl LoadFormat {
    /// The format that a request's header names.
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"json" => Some(Self::Json),
            b"text" => Some(Self::Text),
            _ => None,
        }
    }
}

// === impl Blocks ===

impl Blocks {
    /// Of several series of one kind the last counts, as it does for Triton.
    fn read(page: &str) -> Self {
        let mut blocks = Self::default();
        for (labels, value) in page.lines().filter_map(series) {
            match block_type(labels) {
                Some("used") => blocks.used = Some(value),
                Some("max") => blocks.max = Some(value),
                Some("tokens_per") => blocks.tokens_per_block = Some(value),
                _ => {}
            }
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of one family, its value per kind of block, between other families.
    fn page(blocks: &[(&str, &str)]) -> String {
        let mut page = "# TYPE nv_trt_llm_kv_cache_block_metrics gauge\nnv_inference_count{model=\"m\"} 7\n".to_owned();
        for (kind, value) in blocks {
            page += &format!("{FAMILY}{{model=\"llm\",{BLOCK_TYPE}=\"{kind}\",version=\"1\"}} {value}\n");
        }
        page + "nv_cpu_utilization 0.5\n"
    }

    #[track_caller]
    fn check(blocks: &[(&str, &str)], format: LoadFormat, expected: Option<&str>) {
        assert_eq!(encode_load_metrics(&page(blocks), format).as_deref(), expected);
    }

    #[test]
    fn load_is_reported_in_both_formats() {
        let blocks = [("used", "3"), ("max", "12"), ("tokens_per", "64"), ("free", "9")];
        let json = r#"JSON {"named_metrics":{"kv_cache_utilization":0.25,"max_token_capacity":768}}"#;
        check(&blocks, LoadFormat::Json, Some(json));
        let text = "TEXT named_metrics.kv_cache_utilization=0.250000, named_metrics.max_token_capacity=768";
        check(&blocks, LoadFormat::Text, Some(text));
    }

    #[test]
    fn a_cache_without_blocks_is_not_divided_by() {
        let blocks = [("used", "0"), ("max", "0"), ("tokens_per", "64")];
        let json = r#"JSON {"named_metrics":{"kv_cache_utilization":0.0,"max_token_capacity":0}}"#;
        check(&blocks, LoadFormat::Json, Some(json));
    }

    #[test]
    fn nothing_is_reported_where_a_number_is_missing() {
        check(&[], LoadFormat::Json, None);
        check(&[("used", "3"), ("max", "12")], LoadFormat::Text, None);
        check(&[("used", "NaN"), ("max", "12"), ("tokens_per", "64")], LoadFormat::Json, None);
        check(&[("used", "-1"), ("max", "12"), ("tokens_per", "64")], LoadFormat::Json, None);
    }

    #[test]
    fn formats_have_two_names() {
        assert_eq!(LoadFormat::named(b"json"), Some(LoadFormat::Json));
        assert_eq!(LoadFormat::named(b"text"), Some(LoadFormat::Text));
        assert_eq!(LoadFormat::named(b"JSON"), None);
        assert_eq!(LoadFormat::named(b""), None);
    }
}
