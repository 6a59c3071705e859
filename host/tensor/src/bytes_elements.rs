//! The encoding of `BYTES` tensors: per element four bytes of little-endian length, then the bytes.
//!
//! The encoding is kept as it came from the wire and walked on demand; no element is copied to be looked at.

use bytes::Bytes;

/// Bytes of the length field in front of every element.
const LENGTH_FIELD_BYTES: usize = 4;

/// Walks the elements of an encoded `BYTES` tensor.
///
/// Yields `Err(offset)` once, where the encoding breaks off, and ends.
#[derive(Clone, Debug)]
pub struct BytesElements<'a> {
    rest: &'a [u8],
    offset: usize,
}

/// Encodes elements as the wire wants them, in one allocation.
pub fn encode_bytes_elements<E: AsRef<[u8]>>(elements: &[E]) -> Bytes {
    let total: usize = elements.iter().map(|element| element.as_ref().len() + LENGTH_FIELD_BYTES).sum();
    let mut encoded = Vec::with_capacity(total);
    for element in elements {
        let element = element.as_ref();
        let length = u32::try_from(element.len()).unwrap_or(u32::MAX);
        encoded.extend_from_slice(&length.to_le_bytes());
        encoded.extend_from_slice(element.get(..length as usize).unwrap_or(element));
    }
    encoded.into()
}

// === impl BytesElements ===

impl<'a> BytesElements<'a> {
    /// Starts at the first element of `encoded`.
    pub fn new(encoded: &'a [u8]) -> Self {
        Self { rest: encoded, offset: 0 }
    }

    /// The element at the front and what follows it.
    fn split(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH_FIELD_BYTES>()?;
        rest.split_at_checked(u32::from_le_bytes(*length) as usize)
    }
}

impl<'a> Iterator for BytesElements<'a> {
    type Item = Result<&'a [u8], usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match self.split() {
            Some((element, rest)) => {
                self.offset += LENGTH_FIELD_BYTES + element.len();
                self.rest = rest;
                Some(Ok(element))
            }
            None => {
                self.rest = &[];
                Some(Err(self.offset))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_read_back_as_they_were_encoded() {
        let encoded = encode_bytes_elements(&["", "ab", "ü"]);
        let elements: Result<Vec<_>, _> = BytesElements::new(&encoded).collect();
        assert_eq!(elements.unwrap(), [b"".as_slice(), b"ab", "ü".as_bytes()]);
    }

    #[test]
    fn a_truncated_encoding_says_where_it_breaks_off() {
        let encoded = encode_bytes_elements(&["abc", "def"]);
        let elements: Vec<_> = BytesElements::new(&encoded[..9]).collect();
        assert_eq!(elements, [Ok(b"abc".as_slice()), Err(7)]);
    }
}
