//! How the files fare that the server follows while it runs: on the page where it follows any, and nowhere else.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus::proto::MetricFamily;

use crate::{
    model_metrics::Labels,
    page::{Head, Sample, Value, family_of},
};

/// Files by their paths.
#[derive(Debug, Default)]
pub struct FollowedFiles(Mutex<BTreeMap<String, FileReading>>);

#[derive(Clone, Copy, Debug)]
struct FileReading {
    /// Whether what lies there is what counts.
    is_in_force: bool,
    /// Seconds since the Unix epoch at which what counts was read.
    read_at: f64,
}

const IN_FORCE: Head = Head::gauge(
    "nereid_followed_file_in_force",
    "1 when what lies in a file of the server's settings is what counts, 0 when it was refused and what was read before counts",
);
const READ_AT: Head =
    Head::gauge("nereid_followed_file_read_seconds", "When what counts was read, in seconds since the Unix epoch");

// === impl FollowedFiles ===

impl FollowedFiles {
    /// What lies in this file counts since now.
    pub fn in_force(&self, file: &str) {
        let read_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.0.lock().insert(file.to_owned(), FileReading { is_in_force: true, read_at });
    }

    /// What lies in this file now does not count.
    pub fn refused(&self, file: &str) {
        if let Some(reading) = self.0.lock().get_mut(file) {
            reading.is_in_force = false;
        }
    }

    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let readings = self.0.lock().clone();
        if readings.is_empty() {
            return Vec::new();
        }
        let family = |head, value: fn(&FileReading) -> f64| {
            let sample = |(file, reading): (&String, &FileReading)| Sample {
                labels: Some(Labels::one("file", file)),
                value: Value::Number(value(reading)),
            };
            family_of(head, readings.iter().map(sample))
        };
        vec![
            family(IN_FORCE, |reading| f64::from(u8::from(reading.is_in_force))),
            family(READ_AT, |reading| reading.read_at),
        ]
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn a_file_counts_until_its_next_content_is_refused() {
        let files = FollowedFiles::default();
        let page = || TextEncoder::new().encode_to_string(&files.gather()).unwrap();
        assert_eq!(page(), "");
        files.in_force("a.toml");
        files.in_force("b.toml");
        files.refused("a.toml");
        let shown = page();
        assert!(shown.contains(r#"nereid_followed_file_in_force{file="a.toml"} 0"#), "{shown}");
        assert!(shown.contains(r#"nereid_followed_file_in_force{file="b.toml"} 1"#), "{shown}");
        assert!(shown.contains(r#"nereid_followed_file_read_seconds{file="a.toml"} 1"#), "{shown}");
        files.in_force("a.toml");
        assert!(page().contains(r#"nereid_followed_file_in_force{file="a.toml"} 1"#));
    }
}
