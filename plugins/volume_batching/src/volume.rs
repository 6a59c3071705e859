//! How large a batch is, and how large it may be.

use std::fmt;

/// Bytes of all inputs of a batch.
const BYTES: &str = "MAX_BATCH_VOLUME_BYTES";

/// Rows of a batch times the elements of its longest row.
const PADDED_ELEMENTS: &str = "MAX_BATCH_PADDED_ELEMENTS";

/// What a batch may have; at least one of both is said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    bytes: Option<u64>,
    padded_elements: Option<u64>,
}

/// What one request adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Of all rows together.
    pub(crate) elements: u64,
}

/// What a batch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    rows: u64,
    bytes: u64,
    /// Elements of the longest row.
    longest: u64,
}

// === impl Limits ===

impl Limits {
    /// Reads the parameters.
    ///
    /// # Errors
    /// None is there, or one is no number.
    pub(crate) fn parse<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let number = |name: &str| match parameter(name) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<u64>() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(format!("parameter '{name}' is '{text}', expected a whole number above 0")),
            },
        };
        let limits = Self { bytes: number(BYTES)?, padded_elements: number(PADDED_ELEMENTS)? };
        match limits {
            Self { bytes: None, padded_elements: None } => {
                Err(format!("expected the parameter '{BYTES}', '{PADDED_ELEMENTS}' or both, found neither"))
            }
            limits => Ok(limits),
        }
    }

    /// Whether a batch may be that large.
    pub(crate) fn allow(&self, volume: &Volume) -> bool {
        self.bytes.is_none_or(|most| volume.bytes <= most)
            && self.padded_elements.is_none_or(|most| volume.rows.saturating_mul(volume.longest) <= most)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, self.padded_elements) {
            (Some(bytes), Some(elements)) => write!(f, "{bytes} bytes and {elements} padded elements"),
            (Some(bytes), None) => write!(f, "{bytes} bytes"),
            (None, elements) => write!(f, "{} padded elements", elements.unwrap_or_default()),
        }
    }
}

// === impl Volume ===

impl Volume {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The volume with one request more.
    pub(crate) fn with(&self, size: Size) -> Self {
        Self {
            rows: self.rows.saturating_add(size.rows),
            bytes: self.bytes.saturating_add(size.bytes),
            longest: self.longest.max(size.elements.div_ceil(size.rows.max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(parameters: &[(&str, &'static str)]) -> Result<Limits, String> {
        Limits::parse(|name| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
    }

    fn volume(sizes: &[(u64, u64, u64)]) -> Volume {
        let size = |(rows, bytes, elements): &(u64, u64, u64)| Size { rows: *rows, bytes: *bytes, elements: *elements };
        sizes.iter().fold(Volume::default(), |volume, found| volume.with(size(found)))
    }

    #[test]
    fn bytes_are_added_up() {
        let limits = limits(&[(BYTES, "100")]).unwrap();
        assert!(limits.allow(&volume(&[(1, 60, 15), (1, 40, 10)])));
        assert!(!limits.allow(&volume(&[(1, 60, 15), (1, 41, 10)])));
    }

    #[test]
    fn every_row_counts_as_the_longest() {
        let limits = limits(&[(PADDED_ELEMENTS, "24")]).unwrap();
        // Four rows of six; a fifth makes 30, and so does a single row of eight.
        assert!(limits.allow(&volume(&[(2, 0, 12), (2, 0, 2)])));
        assert!(!limits.allow(&volume(&[(2, 0, 12), (3, 0, 3)])));
        assert!(!limits.allow(&volume(&[(2, 0, 12), (1, 0, 2), (1, 0, 8)])));
    }

    #[test]
    fn both_limits_hold() {
        let limits = limits(&[(BYTES, "100"), (PADDED_ELEMENTS, "10")]).unwrap();
        assert!(limits.allow(&volume(&[(1, 100, 10)])));
        assert!(!limits.allow(&volume(&[(1, 101, 1)])));
        assert!(!limits.allow(&volume(&[(1, 1, 11)])));
        assert_eq!(limits.to_string(), "100 bytes and 10 padded elements");
    }

    #[test]
    fn numbers_at_their_end_do_not_wrap() {
        let limits = limits(&[(PADDED_ELEMENTS, "18446744073709551614")]).unwrap();
        assert!(!limits.allow(&volume(&[(u64::MAX, u64::MAX, u64::MAX), (2, 1, u64::MAX)])));
    }

    #[test]
    fn what_is_no_limit_is_refused_by_name() {
        assert_eq!(
            limits(&[]),
            Err("expected the parameter 'MAX_BATCH_VOLUME_BYTES', 'MAX_BATCH_PADDED_ELEMENTS' or both, found neither"
                .to_owned())
        );
        for text in ["0", "-1", "1 MB", ""] {
            let expected = format!("parameter 'MAX_BATCH_VOLUME_BYTES' is '{text}', expected a whole number above 0");
            assert_eq!(limits(&[(BYTES, text)]), Err(expected));
        }
    }
}
