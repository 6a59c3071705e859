//! One event as one line.

use std::{
    fmt::{self, Write as _},
    process,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nereid_inference::LogFormat;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::LogControl;

/// Writes events in the format that is set.
pub(crate) struct LineFormat {
    control: Arc<LogControl>,
    process_id: u32,
}

/// Who says what, and when.
struct Line<'a> {
    since_epoch: Duration,
    level: Level,
    process_id: u32,
    /// Path of the source file; the last part is shown.
    file: &'a str,
    line: u32,
    text: &'a EventText,
}

/// The words of an event.
#[derive(Default)]
struct EventText {
    message: String,
    table: Option<String>,
}

/// A moment on the UTC calendar.
#[derive(Debug, PartialEq, Eq)]
struct CalendarTime {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

// === impl LineFormat ===

impl LineFormat {
    pub(crate) fn new(control: Arc<LogControl>) -> Self {
        Self { control, process_id: process::id() }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = EventText::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let line = Line {
            since_epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            level: *metadata.level(),
            process_id: self.process_id,
            file: metadata.file().unwrap_or("unknown"),
            line: metadata.line().unwrap_or(0),
            text: &text,
        };
        writeln!(writer, "{}", line.written(self.control.format())?)
    }
}

// === impl Line ===

impl Line<'_> {
    fn written(&self, format: LogFormat) -> Result<String, fmt::Error> {
        let level = match self.level {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            Level::INFO | Level::DEBUG | Level::TRACE => 'I',
        };
        let CalendarTime { year, month, day, hour, minute, second } = CalendarTime::of(self.since_epoch);
        let clock = format!("{hour:02}:{minute:02}:{second:02}");
        let mut out = match format {
            LogFormat::Default => {
                format!("{level}{month:02}{day:02} {clock}.{:06}", self.since_epoch.subsec_micros())
            }
            LogFormat::Iso8601 => format!("{year:04}-{month:02}-{day:02}T{clock}Z {level}"),
        };
        let file = self.file.rsplit('/').next().unwrap_or_default();
        write!(out, " {} {file}:{}] ", self.process_id, self.line)?;
        match &self.text.table {
            Some(table) => write!(out, "{}\n{table}", self.text.message)?,
            None => write_quoted(&mut out, &self.text.message)?,
        }
        Ok(out)
    }
}

/// Quotes the text and escapes what would let it pass for another line of the log.
pub(crate) fn write_quoted(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => write!(out, "\\u{:04X}", u32::from(control))?,
            plain => out.push(plain),
        }
    }
    out.push('"');
    Ok(())
}

// === impl EventText ===

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "table" => write!(self.table.get_or_insert_default(), "{value:?}"),
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.message, " {name}={value:?}"),
        };
        // Writing to a string fails only when the value's own `Debug` does; the rest of the line is worth having.
        if written.is_err() {
            self.message.push_str(" (a value could not be formatted)");
        }
    }
}

// === impl CalendarTime ===

impl CalendarTime {
    /// Days are counted from 1 March of the year 0, so that the leap day ends the year and 400-year eras are alike.
    fn of(since_epoch: Duration) -> Self {
        const SECONDS_PER_DAY: u64 = 86_400;
        const DAYS_PER_ERA: u64 = 146_097;
        const DAYS_BEFORE_EPOCH: u64 = 719_468;
        let seconds = since_epoch.as_secs();
        let days = seconds / SECONDS_PER_DAY + DAYS_BEFORE_EPOCH;
        let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let time_of_day = seconds % SECONDS_PER_DAY;
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: time_of_day / 3_600,
            minute: time_of_day / 60 % 60,
            second: time_of_day % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: LogFormat, level: Level, text: &EventText, expected: &str) {
        let line = Line {
            since_epoch: Duration::from_micros(1_722_594_030_123_456),
            level,
            process_id: 4711,
            file: "host/server/src/startup.rs",
            line: 88,
            text,
        };
        assert_eq!(line.written(format).unwrap(), expected);
    }

    fn said(message: &str) -> EventText {
        EventText { message: message.to_owned(), table: None }
    }

    #[test]
    fn writes_the_default_line() {
        let expected = r#"I0802 10:20:30.123456 4711 startup.rs:88] "Started HTTPService at 0.0.0.0:8000""#;
        check(LogFormat::Default, Level::INFO, &said("Started HTTPService at 0.0.0.0:8000"), expected);
        check(LogFormat::Default, Level::WARN, &said("x"), r#"W0802 10:20:30.123456 4711 startup.rs:88] "x""#);
        check(LogFormat::Default, Level::ERROR, &said("x"), r#"E0802 10:20:30.123456 4711 startup.rs:88] "x""#);
        check(LogFormat::Default, Level::TRACE, &said("x"), r#"I0802 10:20:30.123456 4711 startup.rs:88] "x""#);
    }

    #[test]
    fn writes_the_iso_line() {
        check(LogFormat::Iso8601, Level::INFO, &said("x"), r#"2024-08-02T10:20:30Z I 4711 startup.rs:88] "x""#);
    }

    #[test]
    fn a_message_cannot_pass_for_another_line() {
        let text = said("a\"b\\c\nE0802 forged\u{1b}[31m");
        let expected = r#"I0802 10:20:30.123456 4711 startup.rs:88] "a\"b\\c\nE0802 forged\u001B[31m""#;
        check(LogFormat::Default, Level::INFO, &text, expected);
    }

    #[test]
    fn a_table_stands_below_its_line() {
        let text = EventText { message: String::new(), table: Some("+--+\n|ab|\n+--+\n".to_owned()) };
        let expected = "I0802 10:20:30.123456 4711 startup.rs:88] \n+--+\n|ab|\n+--+\n";
        check(LogFormat::Default, Level::INFO, &text, expected);
    }

    #[test]
    fn knows_the_calendar() {
        let date = |seconds| {
            let CalendarTime { year, month, day, hour, minute, second } =
                CalendarTime::of(Duration::from_secs(seconds));
            format!("{year}-{month}-{day} {hour}:{minute}:{second}")
        };
        assert_eq!(date(0), "1970-1-1 0:0:0");
        assert_eq!(date(951_782_399), "2000-2-28 23:59:59");
        assert_eq!(date(951_782_400), "2000-2-29 0:0:0");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59:59");
        assert_eq!(date(4_107_542_400), "2100-3-1 0:0:0");
    }
}
