//! The header that says where the JSON ends and the binary tensors begin.

use nereid_inference::InferError;

/// Name of the header, in lower case as HTTP libraries keep it.
pub const INFERENCE_HEADER_CONTENT_LENGTH: &str = "inference-header-content-length";

/// The name as Triton prints it.
const PRINTED: &str = "Inference-Header-Content-Length";

/// Bytes of JSON at the front of the body, as the header says; not yet compared with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLength(i32);

// === impl HeaderLength ===

impl HeaderLength {
    /// Reads the value of the header.
    ///
    /// # Errors
    /// Not an integer, or one beyond 32 bits.
    pub fn parse(value: &[u8]) -> Result<Self, InferError> {
        let shown = String::from_utf8_lossy(value);
        let digits = shown.trim();
        if let Ok(length) = digits.parse() {
            return Ok(Self(length));
        }
        let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        let is_integer = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
        Err(InferError::invalid_argument(match is_integer {
            true => {
                format!("Unable to parse {PRINTED}, value is out of range [ {}, {} ], got: {shown}", i32::MIN, i32::MAX)
            }
            false => format!("Unable to parse {PRINTED}, got: {shown}"),
        }))
    }

    /// The length as a position in a body of `body_bytes`.
    ///
    /// # Errors
    /// Negative, or beyond the end of the body.
    pub fn within(self, body_bytes: usize) -> Result<usize, InferError> {
        usize::try_from(self.0).ok().filter(|length| *length <= body_bytes).ok_or_else(|| {
            let text = format!("inference header size should be in range (0, {body_bytes}), got: {}", self.0);
            InferError::invalid_argument(text)
        })
    }

    /// The length as far as it is known before the body is there; 0 when it makes no sense.
    pub fn unchecked(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }
}
