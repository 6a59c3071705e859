//! Log lines in Triton's two formats, and which of them are written.
//!
//! `I0802 10:20:30.123456 4711 startup.rs:88] "message"` by default, `2024-08-02T10:20:30Z I 4711 …` as ISO 8601; times
//! are UTC. An event with a field called `table` prints the table below an otherwise empty line, unquoted.
//!
//! Verbose levels (`debug!` from 1, `trace!` from 2) apply to our own crates only: those of others say too much.

mod line;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fs::OpenOptions,
    io, panic,
    path::PathBuf,
    str::FromStr,
    sync::Mutex,
};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    filter::filter_fn,
    fmt::{self, writer::BoxMakeWriter},
    layer::{Layer as _, SubscriberExt as _},
    registry,
    util::SubscriberInitExt as _,
};

use self::line::LineFormat;

/// What is logged, how, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub info: bool,
    pub warning: bool,
    pub error: bool,
    /// 0 for none; 1 logs `debug!`, 2 and above `trace!` as well.
    pub verbose_level: u32,
    pub format: LogFormat,
    /// Appended to; standard error when `None`.
    pub file: Option<PathBuf>,
}

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Default,
    Iso8601,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log file '{}' cannot be opened for appending: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("this process logs already")]
    AlreadySet,
}

/// Sends the log of the whole process where the settings say.
///
/// # Errors
/// The log file cannot be opened, or logging was set up before.
pub fn init_logging(log_settings: &LogSettings) -> Result<(), LogError> {
    subscriber(log_settings)?.try_init().map_err(|_| LogError::AlreadySet)
}

/// Reports panics as errors of the log, with a backtrace where `RUST_BACKTRACE` asks for one.
///
/// Whoever catches a panic answers for it; this only makes sure that it is known.
pub fn log_panics() {
    panic::set_hook(Box::new(|panicked| {
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!("{panicked}\n{backtrace}"),
            _ => tracing::error!("{panicked}"),
        }
    }));
}

fn subscriber(log_settings: &LogSettings) -> Result<impl Subscriber + Send + Sync + 'static, LogError> {
    let writer = match &log_settings.file {
        None => BoxMakeWriter::new(io::stderr),
        Some(path) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let file = opened.map_err(|source| LogError::File { path: path.clone(), source })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    let switches = log_settings.clone();
    let layer = fmt::layer()
        .event_format(LineFormat::new(log_settings.format))
        .with_writer(writer)
        .with_filter(filter_fn(move |metadata| switches.enables(metadata)));
    Ok(registry().with(layer))
}

// === impl LogSettings ===

impl LogSettings {
    fn enables(&self, metadata: &Metadata<'_>) -> bool {
        let verbose_from = match *metadata.level() {
            Level::ERROR => return self.error,
            Level::WARN => return self.warning,
            Level::INFO => return self.info,
            Level::DEBUG => 1,
            Level::TRACE => 2,
        };
        self.verbose_level >= verbose_from && metadata.target().starts_with("nereid")
    }
}

// === impl LogFormat ===

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self::Default),
            "ISO8601" => Ok(Self::Iso8601),
            other => Err(format!("expected 'default' or 'ISO8601', got '{other}'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says one thing at every level, in our own name and in another's, and asserts which words reach the file.
    fn check(change: impl FnOnce(&mut LogSettings), expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nereid.log");
        let mut log_settings = LogSettings {
            info: true,
            warning: true,
            error: true,
            verbose_level: 0,
            format: LogFormat::Default,
            file: Some(path.clone()),
        };
        change(&mut log_settings);
        tracing::subscriber::with_default(subscriber(&log_settings).unwrap(), || {
            tracing::error!("failure");
            tracing::warn!("doubt");
            tracing::info!("news");
            tracing::debug!("detail");
            tracing::trace!("trifle");
            tracing::info!(target: "h2", "others' news");
            tracing::debug!(target: "h2", "others' detail");
        });
        let written = std::fs::read_to_string(path).unwrap();
        let words: Vec<_> = written.lines().map(|line| line.split('"').nth(1).unwrap()).collect();
        assert_eq!(words.join(", "), expected);
    }

    #[test]
    fn each_level_has_its_switch() {
        check(|_| {}, "failure, doubt, news, others' news");
        check(|log_settings| log_settings.info = false, "failure, doubt");
        check(|log_settings| log_settings.warning = false, "failure, news, others' news");
        check(|log_settings| log_settings.error = false, "doubt, news, others' news");
    }

    #[test]
    fn verbose_levels_add_our_own_details() {
        check(|log_settings| log_settings.verbose_level = 1, "failure, doubt, news, detail, others' news");
        check(|log_settings| log_settings.verbose_level = 2, "failure, doubt, news, detail, trifle, others' news");
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing").join("nereid.log");
        let log_settings = LogSettings {
            info: true,
            warning: true,
            error: true,
            verbose_level: 0,
            format: LogFormat::Default,
            file: Some(path.clone()),
        };
        let error = subscriber(&log_settings).err().unwrap();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
