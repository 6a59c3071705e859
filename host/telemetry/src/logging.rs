//! Log lines in Triton's two formats, and which of them are written; both can change while the server runs.
//!
//! `I0802 10:20:30.123456 4711 startup.rs:88] "message"` by default, `2024-08-02T10:20:30Z I 4711 …` as ISO 8601; times
//! are UTC. An event with a field called `table` prints the table below an otherwise empty line, unquoted.
//!
//! Verbose levels (`debug!` from 1, `trace!` from 2) apply to our own crates only: those of others say too much.
//! A line that is switched off costs one atomic load: every call site remembers whether it is on until that changes.

mod control;
mod line;
mod request_line;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fs::OpenOptions,
    io, panic,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use nereid_inference::LogSettings;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    fmt::{self, writer::BoxMakeWriter},
    layer::{Context, Filter, Layer as _, SubscriberExt as _},
    registry,
    util::SubscriberInitExt as _,
};

use self::line::LineFormat;

pub use self::{control::LogControl, request_line::RequestLine};

pub(crate) use self::line::write_quoted;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log file '{}' cannot be opened for appending: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("this process logs already")]
    AlreadySet,
}

/// Lets through what is switched on.
struct Switches(Arc<LogControl>);

/// Sends the log of the whole process where the settings say; the control changes them later.
///
/// # Errors
/// The log file cannot be opened, or logging was set up before.
pub fn init_logging(log_settings: LogSettings) -> Result<Arc<LogControl>, LogError> {
    let control = Arc::new(LogControl::new(log_settings));
    subscriber(&control)?.try_init().map_err(|_| LogError::AlreadySet)?;
    Ok(control)
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

fn subscriber(control: &Arc<LogControl>) -> Result<impl Subscriber + Send + Sync + 'static, LogError> {
    let writer = match &control.settings().file {
        None => BoxMakeWriter::new(io::stderr),
        Some(path) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let file = opened.map_err(|source| LogError::File { path: path.into(), source })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    let layer = fmt::layer()
        .event_format(LineFormat::new(control.clone()))
        .with_writer(writer)
        .with_filter(Switches(control.clone()));
    Ok(registry().with(layer))
}

// === impl Switches ===

impl<S> Filter<S> for Switches {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.0.enables(metadata)
    }

    /// Remembered until [`LogControl::change`] has every call site ask again.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.enables(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.most_verbose())
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{LogChange, LogFormat};

    use super::*;

    fn to_file(path: &std::path::Path) -> LogSettings {
        LogSettings {
            info: true,
            warning: true,
            error: true,
            verbose_level: 0,
            format: LogFormat::Default,
            file: Some(path.to_str().unwrap().to_owned()),
        }
    }

    fn say_everything() {
        tracing::error!("failure");
        tracing::warn!("doubt");
        tracing::info!("news");
        tracing::debug!("detail");
        tracing::trace!("trifle");
        tracing::info!(target: "h2", "others' news");
        tracing::debug!(target: "h2", "others' detail");
    }

    /// Says one thing at every level, in our own name and in another's, and asserts which words reach the file.
    fn check(change: impl FnOnce(&mut LogSettings), expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nereid.log");
        let mut log_settings = to_file(&path);
        change(&mut log_settings);
        let control = Arc::new(LogControl::new(log_settings));
        tracing::subscriber::with_default(subscriber(&control).unwrap(), say_everything);
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
    fn a_change_takes_effect_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nereid.log");
        let control = Arc::new(LogControl::new(to_file(&path)));
        let since = |skipped: usize| {
            let written = std::fs::read_to_string(&path).unwrap();
            written.lines().skip(skipped).map(str::to_owned).collect::<Vec<_>>()
        };
        tracing::subscriber::with_default(subscriber(&control).unwrap(), || {
            say_everything();
            assert_eq!(since(0).len(), 4);
            control.change(&LogChange { verbose_level: Some(2), ..LogChange::default() });
            say_everything();
            assert_eq!(since(4).len(), 6);
            control.change(&LogChange { info: Some(false), verbose_level: Some(0), ..LogChange::default() });
            say_everything();
            assert_eq!(since(10).len(), 2);
            assert!(since(10)[0].starts_with('E'));
            control.change(&LogChange { format: Some(LogFormat::Iso8601), ..LogChange::default() });
            say_everything();
            assert!(since(12)[0].starts_with("20") && since(12)[0].contains("Z E "), "{:?}", since(12));
        });
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing").join("nereid.log");
        let error = subscriber(&Arc::new(LogControl::new(to_file(&path)))).err().unwrap();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
