//! Limits: how a crate declares what it keeps, so that one table shows all of them and one flag changes them.
//!
//! To add a limit, add one line to the `limits!` of the crate that keeps it: the field, its unit, the default, the name
//! under which operators know it, and a sentence. `--limit NAME=VALUE`, `nereid limits` and the test that compares the
//! README's table with the declarations follow by themselves; the test prints the row that the README lacks. A crate
//! that has no limits yet declares a struct in the same way, which gets a line in `host/server/src/limits.rs`.
//!
//! A limit is never off: values start at 1 of their unit. Numbers that belong to the protocol stay constants.

use std::{fmt, ops::RangeInclusive, time::Duration};

/// One limit as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRow {
    pub name: &'static str,
    pub what: &'static str,
    /// Values with their units.
    pub default: String,
    pub value: String,
}

/// The limits of one crate.
pub trait LimitSet {
    /// Every limit, in the order of its declaration.
    fn rows(&self) -> Vec<LimitRow>;

    /// Changes the limit called `name`; `false` when there is none.
    ///
    /// # Errors
    /// The text is not a value of the limit's unit, or lies outside its range.
    fn set(&mut self, name: &str, text: &str) -> Result<bool, String>;
}

/// How values of one kind are written.
pub trait LimitUnit {
    type Value: Copy + PartialOrd + 'static;
    /// What may be written, for messages.
    const FORM: &'static str;
    /// Names of units, ascending, and how much each is in the smallest.
    const UNITS: &'static [(&'static str, u64)];
    /// Every value but none.
    const RANGE: RangeInclusive<Self::Value>;

    /// The value of a number of the smallest unit.
    fn from_number(number: u64) -> Option<Self::Value>;
    /// The opposite.
    fn to_number(value: Self::Value) -> u64;
}

/// How many; a plain number.
#[derive(Clone, Copy, Debug)]
pub struct Count;

/// Bytes; `KiB`, `MiB` or `GiB` may follow the number.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

/// A duration; `ms`, `s`, `min` or `h` follows the number.
#[derive(Clone, Copy, Debug)]
pub struct Time;

/// A number with its thousands apart.
struct Grouped(u64);

/// Reads a value of a unit and holds it against a range.
///
/// # Errors
/// What would be right.
pub fn parse_limit<U: LimitUnit>(text: &str, range: &RangeInclusive<U::Value>) -> Result<U::Value, String> {
    let form = || format!("expected {}", U::FORM);
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit() && character != ',').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or_else(form)?;
    let is_written = |(name, _): &&(&str, u64)| unit.trim().eq_ignore_ascii_case(name);
    let (_, scale) = U::UNITS.iter().find(is_written).ok_or_else(form)?;
    let number: u64 = number.replace(',', "").parse().map_err(|_| form())?;
    let value = number.checked_mul(*scale).and_then(U::from_number).filter(|value| range.contains(value));
    value.ok_or_else(|| {
        let (least, most) = (show_limit::<U>(*range.start()), show_limit::<U>(*range.end()));
        format!("expected {}, from {least} to {most}", U::FORM)
    })
}

/// A value as it may be written: in the largest unit that divides it.
pub fn show_limit<U: LimitUnit>(value: U::Value) -> String {
    let number = U::to_number(value);
    let divides = |(_, scale): &&(&str, u64)| number.is_multiple_of(*scale);
    match U::UNITS.iter().rev().find(divides) {
        Some((unit, scale)) if !unit.is_empty() => format!("{} {unit}", Grouped(number / scale)),
        _ => Grouped(number).to_string(),
    }
}

/// Declares the limits of one crate: `field: Unit = default, "name", "sentence";`, with `in range` behind the default
/// where not every value makes sense. The name says its area, the sentence the reason for the number.
#[macro_export]
macro_rules! limits {
    (
        $(#[$meta:meta])*
        $vis:vis struct $limits:ident {
            $(
                $(#[$doc:meta])*
                $field:ident: $unit:ident = $default:expr $(, in $range:expr)?, $name:literal, $what:literal;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $limits {
            $( $(#[$doc])* pub $field: <$crate::limits::$unit as $crate::limits::LimitUnit>::Value, )*
        }

        impl Default for $limits {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::limits::LimitSet for $limits {
            fn rows(&self) -> Vec<$crate::limits::LimitRow> {
                let defaults = Self::default();
                vec![$(
                    $crate::limits::LimitRow {
                        name: $name,
                        what: $what,
                        default: $crate::limits::show_limit::<$crate::limits::$unit>(defaults.$field),
                        value: $crate::limits::show_limit::<$crate::limits::$unit>(self.$field),
                    },
                )*]
            }

            fn set(&mut self, name: &str, text: &str) -> Result<bool, String> {
                match name {
                    $(
                        $name => {
                            let ranges = [
                                $( $range, )?
                                <$crate::limits::$unit as $crate::limits::LimitUnit>::RANGE,
                            ];
                            let [range, ..] = ranges;
                            self.$field = $crate::limits::parse_limit::<$crate::limits::$unit>(text, &range)?;
                        }
                    )*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}

// === impl Count ===

impl LimitUnit for Count {
    type Value = usize;
    const FORM: &'static str = "a whole number";
    const UNITS: &'static [(&'static str, u64)] = &[("", 1)];
    const RANGE: RangeInclusive<usize> = 1..=usize::MAX;

    fn from_number(number: u64) -> Option<usize> {
        usize::try_from(number).ok()
    }

    fn to_number(value: usize) -> u64 {
        value as u64
    }
}

// === impl Bytes ===

impl LimitUnit for Bytes {
    type Value = usize;
    const FORM: &'static str = "bytes: a number, or one with KiB, MiB or GiB";
    const UNITS: &'static [(&'static str, u64)] =
        &[("", 1), ("bytes", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    const RANGE: RangeInclusive<usize> = 1..=usize::MAX;

    fn from_number(number: u64) -> Option<usize> {
        usize::try_from(number).ok()
    }

    fn to_number(value: usize) -> u64 {
        value as u64
    }
}

// === impl Time ===

impl LimitUnit for Time {
    type Value = Duration;
    const FORM: &'static str = "a time: a number with ms, s, min or h";
    const UNITS: &'static [(&'static str, u64)] = &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];
    const RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(365 * 24 * 3_600);

    fn from_number(number: u64) -> Option<Duration> {
        Some(Duration::from_millis(number))
    }

    fn to_number(value: Duration) -> u64 {
        u64::try_from(value.as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Grouped ===

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
