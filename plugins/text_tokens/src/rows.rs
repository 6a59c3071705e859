//! How long rows are, and which of their columns are used. Nothing here asks the host.

use std::ops::Range;

use nereid_sdk::Error;

/// How many tokens every row of a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// What the tokenizer's file says under `padding`: a number, a multiple of one, or as many as the longest text.
    OfFile,
    /// As many as the longest text of the request, whatever the file says: the least work for the model.
    Longest,
    /// A number: all requests have one shape, so that a dynamic batcher joins them.
    Fixed(u32),
}

/// Refuses what is not a text per row: `[n, 1]`, or `[n]` where the model does not batch.
///
/// # Errors
/// It is another shape.
pub fn check_texts(name: &str, shape: &[u64]) -> Result<(), Error> {
    match shape {
        [_] | [_, 1] => Ok(()),
        _ => Err(Error::invalid_argument(format_args!(
            "input '{name}' has shape {shape:?}, expected [n, 1]: one text per row"
        ))),
    }
}

/// From the first column in which a row has a token to the last one; `mask` has rows of `length` elements. Empty where none has.
pub fn used_columns(mask: &[i64], length: usize) -> Range<usize> {
    let (mut first, mut end) = (length, 0);
    for row in mask.chunks_exact(length.max(1)) {
        let is_token = |place: &i64| *place != 0;
        if let (Some(begin), Some(last)) = (row.iter().position(is_token), row.iter().rposition(is_token)) {
            (first, end) = (first.min(begin), end.max(last + 1));
        }
    }
    first.min(end)..end
}

// === impl Length ===

impl Length {
    /// What the parameter `length` says.
    ///
    /// # Errors
    /// Another word, 0, or fewer tokens than texts are cut to.
    pub fn parse(setting: Option<&str>, max_length: Option<u32>) -> Result<Self, Error> {
        let text = match setting.map(str::trim) {
            None => return Ok(Self::OfFile),
            Some("longest") => return Ok(Self::Longest),
            Some(text) => text,
        };
        let refused = |expected: String| {
            Error::internal(format_args!("parameter 'length' of config.pbtxt is '{text}', expected {expected}"))
        };
        let length = text.parse().ok().filter(|length| *length > 0);
        let length = length.ok_or_else(|| refused("a number of tokens or 'longest'".to_owned()))?;
        match max_length {
            Some(most) if length < most => Err(refused(format!("at least the {most} of 'max_length'"))),
            _ => Ok(Self::Fixed(length)),
        }
    }

    /// The number, where it is one.
    pub fn fixed(self) -> Option<u32> {
        match self {
            Self::Fixed(length) => Some(length),
            Self::OfFile | Self::Longest => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_in_which_any_row_has_a_token() {
        assert_eq!(used_columns(&[1, 1, 0, 0, 1, 1, 1, 0], 4), 0..3);
        assert_eq!(used_columns(&[0, 0, 1, 1, 0, 1, 1, 1], 4), 1..4, "rows that are padded on the left");
        assert_eq!(used_columns(&[0, 1, 0, 1], 4), 1..4, "holes are kept");
    }

    #[test]
    fn rows_without_tokens_have_no_columns() {
        assert_eq!(used_columns(&[0, 0, 0], 3), 0..0);
        assert_eq!(used_columns(&[], 0), 0..0);
        assert_eq!(used_columns(&[], 5), 0..0);
        assert_eq!(used_columns(&[0, 0, 1, 0], 2), 0..1);
    }

    #[test]
    fn a_length_is_a_number_or_a_word() {
        assert_eq!(Length::parse(None, Some(8)), Ok(Length::OfFile));
        assert_eq!(Length::parse(Some(" longest"), None), Ok(Length::Longest));
        assert_eq!(Length::parse(Some("128 "), Some(128)), Ok(Length::Fixed(128)));
        assert_eq!(Length::Fixed(128).fixed(), Some(128));
    }

    #[test]
    fn lengths_that_texts_would_not_fit_are_refused_at_the_start() {
        let text = |setting, most| Length::parse(Some(setting), most).unwrap_err().message().to_owned();
        assert_eq!(
            text("short", None),
            "parameter 'length' of config.pbtxt is 'short', expected a number of tokens or 'longest'"
        );
        assert!(text("0", None).contains("is '0', expected"));
        assert!(text("-4", None).contains("is '-4', expected"));
        assert!(text("64", Some(128)).contains("is '64', expected at least the 128 of 'max_length'"));
    }

    #[test]
    fn a_row_has_one_text() {
        assert!(check_texts("text", &[4, 1]).is_ok() && check_texts("text", &[4]).is_ok());
        assert!(check_texts("text", &[]).is_err());
        assert_eq!(
            check_texts("pair", &[4, 2]).unwrap_err().message(),
            "input 'pair' has shape [4, 2], expected [n, 1]: one text per row"
        );
    }
}
