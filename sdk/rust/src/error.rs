//! The answer to a request that cannot be answered.
//!
//! The code decides the client's HTTP or gRPC status; the text is what the client reads, so say which input, what was
//! expected and what was found. The host puts the plugin's and the model's name in front.

use std::fmt;

use crate::{ErrorCode, bindings::nereid::plugin::types};

/// A failure, in words for a person.
///
/// `?` turns the standard library's parse and encoding errors into one with code `internal`: a failure that nobody
/// gave a meaning is the plugin's own. For others: `.map_err(Error::internal)?`, `.map_err(Error::invalid_argument)?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: String,
}

// === impl Error ===

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident,)*) => {
        $(
            $(#[$doc])*
            pub fn $name(message: impl fmt::Display) -> Self {
                Self::new(ErrorCode::$code, message)
            }
        )*
    };
}

impl Error {
    /// An error of the given code.
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    constructors! {
        /// The request can never succeed as it is.
        invalid_argument => InvalidArgument,
        /// A thing that does not exist.
        not_found => NotFound,
        /// Cannot be served now; may succeed later.
        unavailable => Unavailable,
        /// Understood, and not offered.
        unsupported => Unsupported,
        /// A name is taken.
        already_exists => AlreadyExists,
        /// The caller gave up.
        cancelled => Cancelled,
        /// The time given to the request ran out.
        deadline_exceeded => DeadlineExceeded,
        /// A limit on what one caller may use was reached.
        resource_exhausted => ResourceExhausted,
        /// Not granted to this caller.
        permission => Permission,
        /// The plugin's own fault; never the caller's.
        internal => Internal,
    }

    /// The same error with text in front: where it happened, for example `element 3 of 'image': `.
    #[must_use]
    pub fn prefixed(self, prefix: impl fmt::Display) -> Self {
        Self { message: format!("{prefix}{}", self.message), ..self }
    }

    /// Decides the status.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text for the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        Self { code: error.code, message: error.message }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self { code: error.code, message: error.message }
    }
}

macro_rules! internal_from {
    ($($source:ty),* $(,)?) => {
        $(
            impl From<$source> for Error {
                fn from(error: $source) -> Self {
                    Self::internal(error)
                }
            }
        )*
    };
}

internal_from! {
    fmt::Error,
    std::io::Error,
    std::num::ParseFloatError,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<u32, Error> {
        Ok(text.parse::<u32>()?)
    }

    #[test]
    fn an_error_that_nobody_explained_is_the_plugins_own() {
        let error = parsed("x").unwrap_err();
        assert_eq!((error.code(), error.message()), (ErrorCode::Internal, "invalid digit found in string"));
    }

    #[test]
    fn a_prefix_keeps_the_code() {
        let error = Error::not_found("no such label").prefixed("row 2: ");
        assert_eq!((error.code(), error.message()), (ErrorCode::NotFound, "row 2: no such label"));
    }

    #[test]
    fn code_and_text_survive_the_way_to_the_host_and_back() {
        let error = Error::unsupported("not offered");
        assert_eq!(Error::from(types::Error::from(error.clone())), error);
    }
}
