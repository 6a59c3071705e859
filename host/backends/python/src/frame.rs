//! The head of a frame, 20 bytes: `NPY2`, where the payload is, the lengths of header and payload, little endian.
//!
//! The header is JSON; the payload holds tensors. What the other side says is compared with the limits before anything is
//! allocated. `runner/nereid_runner/wire.py` is the other side; a change of the form changes the magic in both.

use thiserror::Error;

pub(crate) const HEAD_BYTES: usize = 20;

const MAGIC: [u8; 4] = *b"NPY2";

/// A longer JSON header belongs to no batch that a scheduler makes.
const HEADER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Beyond this a copy into a memory file costs less than two through the socket.
pub(crate) const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Where the bytes of tensors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind the header.
    Inline,
    /// In a memory file whose descriptor came with the head.
    File,
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) place: Place,
    pub(crate) header_bytes: usize,
    pub(crate) payload_bytes: usize,
}

/// A head that no runner of ours writes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HeadError {
    #[error("expected a frame that begins with NPY2, found {0:?}")]
    Magic([u8; 4]),
    #[error("expected 0 or 1 for the place of the payload, found {0}")]
    Place(u8),
    #[error("expected zeroes in the bytes that mean nothing, found {0:?}")]
    Reserved([u8; 3]),
    #[error("a header of {found} bytes, and {HEADER_BYTES_MAX} are the most")]
    Header { found: usize },
    #[error("a payload of {found} bytes, and {limit} are the most (python-response)")]
    Payload { found: u64, limit: u64 },
    #[error("a payload of {found} bytes behind the header, and {INLINE_BYTES_MAX} are the most there")]
    Inline { found: u64 },
}

// === impl Head ===

impl Head {
    /// The head of a frame with these lengths.
    pub(crate) fn of(header_bytes: usize, payload_bytes: usize) -> Self {
        let place = if payload_bytes > INLINE_BYTES_MAX { Place::File } else { Place::Inline };
        Self { place, header_bytes, payload_bytes }
    }

    pub(crate) fn encode(self) -> [u8; HEAD_BYTES] {
        let [m0, m1, m2, m3] = MAGIC;
        let [h0, h1, h2, h3] = u32::try_from(self.header_bytes).unwrap_or(u32::MAX).to_le_bytes();
        let [p0, p1, p2, p3, p4, p5, p6, p7] = (self.payload_bytes as u64).to_le_bytes();
        let place = u8::from(self.place == Place::File);
        [m0, m1, m2, m3, place, 0, 0, 0, h0, h1, h2, h3, p0, p1, p2, p3, p4, p5, p6, p7]
    }

    /// Reads a head and holds it against the limits.
    ///
    /// # Errors
    /// It is none, or too much is to come.
    pub(crate) fn parse(bytes: [u8; HEAD_BYTES], payload_bytes_max: u64) -> Result<Self, HeadError> {
        let [m0, m1, m2, m3, place, r0, r1, r2, h0, h1, h2, h3, p0, p1, p2, p3, p4, p5, p6, p7] = bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(HeadError::Magic([m0, m1, m2, m3]));
        }
        let place = match place {
            0 => Place::Inline,
            1 => Place::File,
            other => return Err(HeadError::Place(other)),
        };
        if [r0, r1, r2] != [0; 3] {
            return Err(HeadError::Reserved([r0, r1, r2]));
        }
        let header_bytes = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        if header_bytes > HEADER_BYTES_MAX {
            return Err(HeadError::Header { found: header_bytes });
        }
        let found = u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]);
        if found > payload_bytes_max {
            return Err(HeadError::Payload { found, limit: payload_bytes_max });
        }
        if place == Place::Inline && found > INLINE_BYTES_MAX as u64 {
            return Err(HeadError::Inline { found });
        }
        let payload_bytes =
            usize::try_from(found).map_err(|_| HeadError::Payload { found, limit: payload_bytes_max })?;
        Ok(Self { place, header_bytes, payload_bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn check_refused(at: usize, value: u8, expected: &str) {
        let mut bytes = Head::of(10, 10).encode();
        bytes[at] = value;
        let error = Head::parse(bytes, LIMIT).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn what_no_runner_writes_is_refused() {
        check_refused(0, b'X', "expected a frame that begins with NPY2");
        check_refused(3, b'1', "expected a frame that begins with NPY2");
        check_refused(4, 2, "expected 0 or 1 for the place of the payload, found 2");
        check_refused(6, 1, "expected zeroes");
        check_refused(11, 255, "a header of 4278190090 bytes");
        check_refused(14, 2, "a payload of 131082 bytes behind the header");
        check_refused(19, 1, "a payload of 72057594037927946 bytes, and 1048576 are the most (python-response)");
    }

    proptest! {
        #[test]
        fn heads_read_back(header in 0..HEADER_BYTES_MAX, payload in 0..LIMIT as usize) {
            let head = Head::of(header, payload);
            prop_assert_eq!(Head::parse(head.encode(), LIMIT), Ok(head));
        }

        #[test]
        fn any_twenty_bytes_are_read_within_the_limits(bytes in any::<[u8; HEAD_BYTES]>()) {
            if let Ok(head) = Head::parse(bytes, LIMIT) {
                prop_assert!(head.header_bytes <= HEADER_BYTES_MAX && head.payload_bytes as u64 <= LIMIT);
            }
        }
    }
}
