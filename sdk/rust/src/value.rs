//! Parameters: scalars of a request or a response.

use std::fmt;

use crate::Value;

// === impl Value ===

/// As a client wrote it, for error texts.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Text(value) => write!(f, "'{value}'"),
        }
    }
}

impl Value {
    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// True or false, when it is that.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(value) = self { Some(*value) } else { None }
    }

    /// The whole number, when it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Uint(value) => i64::try_from(*value).ok(),
            Self::Boolean(_) | Self::Double(_) | Self::Text(_) => None,
        }
    }

    /// The number, whole or not. Whole numbers beyond 2^53 are rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Uint(value) => Some(*value as f64),
            Self::Double(value) => Some(*value),
            Self::Boolean(_) | Self::Text(_) => None,
        }
    }
}

macro_rules! value_from {
    ($($source:ty => $kind:ident,)*) => {
        $(
            impl From<$source> for Value {
                fn from(value: $source) -> Self {
                    Self::$kind(value.into())
                }
            }
        )*
    };
}

value_from! {
    bool => Boolean,
    i32 => Int,
    i64 => Int,
    u32 => Int,
    u64 => Uint,
    f32 => Double,
    f64 => Double,
    &str => Text,
    String => Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_both_kinds_read_as_i64_where_they_fit() {
        assert_eq!(Value::from(-3_i32).as_i64(), Some(-3));
        assert_eq!(Value::from(3_u64).as_i64(), Some(3));
        assert_eq!(Value::from(u64::MAX).as_i64(), None);
        assert_eq!(Value::from("3").as_i64(), None);
    }

    #[test]
    fn values_are_shown_as_they_were_written() {
        let shown = |value: Value| value.to_string();
        assert_eq!([shown(true.into()), shown((-3_i32).into()), shown(0.5.into())], ["true", "-3", "0.5"]);
        assert_eq!(shown("hot".into()), "'hot'");
    }

    #[test]
    fn numbers_read_as_f64_and_texts_do_not() {
        assert_eq!(Value::from(2_u32).as_f64(), Some(2.0));
        assert_eq!(Value::from(0.5_f32).as_f64(), Some(0.5));
        assert_eq!(Value::from("0.5").as_f64(), None);
    }
}
