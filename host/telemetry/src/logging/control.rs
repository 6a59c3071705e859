//! The switches of the log, read by every line and changed by the logging API.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use nereid_inference::{LogChange, LogFormat, LogSettings};
use tracing::{Level, Metadata, callsite, level_filters::LevelFilter};

/// What is logged now. Reading it takes no lock.
#[derive(Debug)]
pub struct LogControl {
    info: AtomicBool,
    warning: AtomicBool,
    error: AtomicBool,
    verbose_level: AtomicU32,
    is_iso8601: AtomicBool,
    file: Option<String>,
}

// === impl LogControl ===

impl LogControl {
    /// A control that no log listens to until it is given to one.
    pub fn new(settings: LogSettings) -> Self {
        Self {
            info: settings.info.into(),
            warning: settings.warning.into(),
            error: settings.error.into(),
            verbose_level: settings.verbose_level.into(),
            is_iso8601: (settings.format == LogFormat::Iso8601).into(),
            file: settings.file,
        }
    }

    /// The settings as they are now.
    pub fn settings(&self) -> LogSettings {
        LogSettings {
            info: self.info.load(Relaxed),
            warning: self.warning.load(Relaxed),
            error: self.error.load(Relaxed),
            verbose_level: self.verbose_level.load(Relaxed),
            format: self.format(),
            file: self.file.clone(),
        }
    }

    /// Changes what is logged from the next line on.
    pub fn change(&self, change: &LogChange) {
        let switches = [(&self.info, change.info), (&self.warning, change.warning), (&self.error, change.error)];
        for (switch, wanted) in switches {
            if let Some(wanted) = wanted {
                switch.store(wanted, Relaxed);
            }
        }
        if let Some(level) = change.verbose_level {
            self.verbose_level.store(level, Relaxed);
        }
        if let Some(format) = change.format {
            self.is_iso8601.store(format == LogFormat::Iso8601, Relaxed);
        }
        callsite::rebuild_interest_cache();
    }

    pub(crate) fn format(&self) -> LogFormat {
        if self.is_iso8601.load(Relaxed) { LogFormat::Iso8601 } else { LogFormat::Default }
    }

    pub(crate) fn enables(&self, metadata: &Metadata<'_>) -> bool {
        let verbose_from = match *metadata.level() {
            Level::ERROR => return self.error.load(Relaxed),
            Level::WARN => return self.warning.load(Relaxed),
            Level::INFO => return self.info.load(Relaxed),
            Level::DEBUG => 1,
            Level::TRACE => 2,
        };
        self.verbose_level.load(Relaxed) >= verbose_from && metadata.target().starts_with("nereid")
    }

    /// The most verbose level of which anything may be written.
    pub(crate) fn most_verbose(&self) -> LevelFilter {
        match self.verbose_level.load(Relaxed) {
            0 => LevelFilter::INFO,
            1 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}
