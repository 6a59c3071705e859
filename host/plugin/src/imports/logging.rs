//! `logging`: guests' lines in the server's log, marked as theirs and limited by [`crate::guest_log`].

use crate::{
    bindings::nereid::plugin::logging::{Host, Level},
    guest_log::GuestLog,
    state::PluginState,
};

impl Host for PluginState {
    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        self.enter("logging.enabled")?;
        Ok(GuestLog::is_enabled(tracing_level(level)))
    }

    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.enter("logging.log")?;
        self.log.write(tracing_level(level), &message);
        Ok(())
    }
}

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Trace => tracing::Level::TRACE,
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    }
}
