//! `--metrics-config=KEY=VALUE`, as forgiving as tritonserver: what has the right form starts a server.
//!
//! An unknown key, a switch that is neither `true` nor `false`, and a quantile that cannot be read are warned about and passed over,
//! because scripts and charts written for tritonserver may hold them unnoticed.

use std::str::FromStr;

use nereid_telemetry::MetricsSettings;

/// One setting as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSetting {
    pub key: String,
    pub value: String,
}

// === impl MetricsSetting ===

impl MetricsSetting {
    /// Changes what it names. To be called once the log is open.
    pub(crate) fn apply(&self, settings: &mut MetricsSettings) {
        let Self { key, value } = self;
        match key.as_str() {
            "counter_latencies" => self.switch(&mut settings.counter_latencies),
            "histogram_latencies" => self.switch(&mut settings.histogram_latencies),
            "summary_latencies" => self.switch(&mut settings.summary_latencies),
            "summary_quantiles" => {
                let quantiles: Vec<f64> = value.split(',').filter_map(quantile).collect();
                if !quantiles.is_empty() {
                    settings.summary_quantiles = quantiles;
                }
            }
            _ => tracing::warn!(
                "--metrics-config={key}={value}: unknown setting, passed over; known are counter_latencies, \
                 histogram_latencies, summary_latencies and summary_quantiles"
            ),
        }
    }

    fn switch(&self, switched: &mut bool) {
        match self.value.as_str() {
            "true" => *switched = true,
            "false" => *switched = false,
            other => tracing::warn!("--metrics-config={}={other}: passed over, expected true or false", self.key),
        }
    }
}

impl FromStr for MetricsSetting {
    type Err = String;

    /// A comma in the key would be for settings of one name, which tritonserver refuses too.
    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(key, value)| {
            let is_global = !key.contains(',');
            is_global && !key.is_empty() && !value.is_empty()
        });
        let (key, value) = pair.ok_or("option format is <setting>=<value>, for all models")?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// A quantile of a `quantile:error` pair. The error is read and not used: ours are exact to three digits.
fn quantile(pair: &str) -> Option<f64> {
    let Some((quantile, error)) = pair.split_once(':') else {
        tracing::error!("Invalid option: [{pair}]. No ':' delimiter found. Expected format is <quantile>:<error>");
        return None;
    };
    let quantile = leading_number(quantile).filter(|quantile| (0.0..=1.0).contains(quantile));
    if quantile.is_none() || leading_number(error).is_none() {
        tracing::error!("Invalid option: [{pair}]. Expected two numbers, the first of them from 0 to 1");
        return None;
    }
    quantile
}

/// As C++ reads numbers: as far as it goes. Triton's own tests write an error of `0.0.1`.
fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let mut ends = text.char_indices().map(|(index, character)| index + character.len_utf8()).rev();
    ends.find_map(|end| text.get(..end)?.parse::<f64>().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies settings, and asserts what comes out.
    #[track_caller]
    fn check(settings: &[&str], expected: &MetricsSettings) {
        let mut found = MetricsSettings::default();
        for setting in settings {
            setting.parse::<MetricsSetting>().unwrap().apply(&mut found);
        }
        assert_eq!(found, *expected, "{settings:?}");
    }

    #[test]
    fn switches_and_quantiles_change_the_defaults() {
        let defaults = MetricsSettings::default;
        check(&[], &defaults());
        check(&["counter_latencies=false"], &MetricsSettings { counter_latencies: false, ..defaults() });
        check(
            &["histogram_latencies=true", "summary_latencies=true", "summary_quantiles=0.1:0.0.1,0.7:0.01,1:0"],
            &MetricsSettings {
                histogram_latencies: true,
                summary_latencies: true,
                summary_quantiles: vec![0.1, 0.7, 1.0],
                ..defaults()
            },
        );
    }

    #[test]
    fn the_last_word_counts() {
        check(&["summary_latencies=true", "summary_latencies=false"], &MetricsSettings::default());
    }

    #[test]
    fn what_cannot_be_meant_changes_nothing() {
        for setting in [
            "colour=blue",
            "histogram_latencies=yes",
            "counter_latencies=0",
            "summary_quantiles=0.5",
            "summary_quantiles=x:0.1",
            "summary_quantiles=0.5:x",
            "summary_quantiles=1.5:0.1",
            "summary_quantiles=NaN:0.1",
            "summary_quantiles=é:ü",
        ] {
            check(&[setting], &MetricsSettings::default());
        }
    }

    #[test]
    fn one_bad_quantile_does_not_spoil_the_others() {
        let summary_quantiles = vec![0.25];
        check(&["summary_quantiles=,0.5,0.25:0.1"], &MetricsSettings { summary_quantiles, ..Default::default() });
    }
}
