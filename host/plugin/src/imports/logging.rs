//! `logging`: guests' lines in the server's log, marked as theirs and limited.

use tracing::Level as TracingLevel;

use crate::{
    bindings::nereid::plugin::logging::{Host, Level},
    convert,
    state::PluginState,
};

/// The target under which guests' lines are filtered.
macro_rules! guest_event {
    ($level:expr, $state:expr, $message:expr) => {
        tracing::event!(target: "nereid::guest", $level, model = %$state.spec.model, plugin = %$state.spec.plugin, "{}", $message)
    };
}

impl Host for PluginState {
    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        self.enter()?;
        Ok(match level {
            Level::Trace => tracing::enabled!(target: "nereid::guest", TracingLevel::TRACE),
            Level::Debug => tracing::enabled!(target: "nereid::guest", TracingLevel::DEBUG),
            Level::Info => tracing::enabled!(target: "nereid::guest", TracingLevel::INFO),
            Level::Warn => tracing::enabled!(target: "nereid::guest", TracingLevel::WARN),
            Level::Error => tracing::enabled!(target: "nereid::guest", TracingLevel::ERROR),
        })
    }

    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        let message = on_one_line(&convert::shortened(&message));
        if level == Level::Error {
            self.call.last_error_line = Some(message.clone());
        }
        let limit = self.limits().log_bytes_max;
        let before = self.call.log_bytes;
        self.call.log_bytes = before.saturating_add(message.len() as u64 + 1);
        if self.call.log_bytes > limit {
            if before <= limit {
                guest_event!(
                    TracingLevel::WARN,
                    self,
                    format!("more than {limit} bytes logged in one call: the rest is dropped")
                );
            }
            return Ok(());
        }
        match level {
            Level::Trace => guest_event!(TracingLevel::TRACE, self, message),
            Level::Debug => guest_event!(TracingLevel::DEBUG, self, message),
            Level::Info => guest_event!(TracingLevel::INFO, self, message),
            Level::Warn => guest_event!(TracingLevel::WARN, self, message),
            Level::Error => guest_event!(TracingLevel::ERROR, self, message),
        }
        Ok(())
    }
}

/// A guest cannot forge lines of the log or move the terminal's cursor.
fn on_one_line(message: &str) -> String {
    if !message.contains(char::is_control) {
        return message.to_owned();
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(on_one_line("a\nb\u{1b}[2Jü"), "a\\nb\\u{1b}[2Jü");
    }
}
