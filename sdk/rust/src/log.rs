//! Lines for the server's log: `log::info!("{count} images")`. The host adds the names of plugin and model.
//!
//! A line is formatted only if the server keeps lines of its level. What a call may write is limited by the host.

use std::fmt;

use crate::{Level, bindings::nereid::plugin::logging};

pub use crate::{log_debug as debug, log_error as error, log_info as info, log_trace as trace, log_warn as warn};

/// Whether lines of this level are kept: worth asking before an expensive line is made.
pub fn enabled(level: Level) -> bool {
    logging::enabled(level)
}

/// Writes one line; the macros of this module are shorter.
pub fn write(level: Level, line: fmt::Arguments<'_>) {
    if enabled(level) {
        logging::log(level, &line.to_string());
    }
}

/// Writes a line for those who look for a fault, every step.
#[doc(hidden)]
#[macro_export]
macro_rules! log_trace {
    ($($line:tt)*) => { $crate::log::write($crate::Level::Trace, ::std::format_args!($($line)*)) };
}

/// Writes a line for those who look for a fault.
#[doc(hidden)]
#[macro_export]
macro_rules! log_debug {
    ($($line:tt)*) => { $crate::log::write($crate::Level::Debug, ::std::format_args!($($line)*)) };
}

/// Writes a line that is worth knowing.
#[doc(hidden)]
#[macro_export]
macro_rules! log_info {
    ($($line:tt)*) => { $crate::log::write($crate::Level::Info, ::std::format_args!($($line)*)) };
}

/// Writes a line on which somebody must act at some time.
#[doc(hidden)]
#[macro_export]
macro_rules! log_warn {
    ($($line:tt)*) => { $crate::log::write($crate::Level::Warn, ::std::format_args!($($line)*)) };
}

/// Writes a line on which somebody must act now.
#[doc(hidden)]
#[macro_export]
macro_rules! log_error {
    ($($line:tt)*) => { $crate::log::write($crate::Level::Error, ::std::format_args!($($line)*)) };
}
