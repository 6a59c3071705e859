//! UBJSON (draft 12) as XGBoost writes it: strings, numbers of every size, arrays with and without a type and a count.
//!
//! A count is believed only as far as there are bytes for it. Objects with a type or a count, and numbers written as
//! text (`H`), are refused: no version of XGBoost writes them.

use crate::{
    ForestError,
    document::{
        Value,
        builder::{Builder, Place},
    },
};

struct Ubjson<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Of each open array: how many elements are still to come, when it said so.
    left: Vec<Option<usize>>,
}

/// Reads a document.
///
/// # Errors
/// The first byte that is wrong.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, ForestError> {
    let mut ubjson = Ubjson { bytes, at: 0, left: Vec::new() };
    let mut builder = Builder::default();
    while ubjson.step(&mut builder)? {}
    builder.finish(ubjson.at)
}

// === impl Ubjson ===

impl Ubjson<'_> {
    fn step(&mut self, builder: &mut Builder) -> Result<bool, ForestError> {
        let place = builder.place();
        if place == Place::Element && self.left.last() == Some(&Some(0)) {
            self.left.pop();
            builder.close(self.at)?;
            return Ok(true);
        }
        if place == Place::End {
            let is_over = self.at == self.bytes.len();
            return if is_over { Ok(false) } else { Err(self.error("something follows the document")) };
        }
        let start = self.at;
        if place == Place::Name && self.peek()? != b'}' {
            let name = self.string()?;
            builder.name(name);
            return Ok(true);
        }
        match (place, self.byte()?) {
            (_, b'N') => {}
            (Place::Element, b']') if self.left.last() == Some(&None) => {
                self.left.pop();
                builder.close(self.at)?;
            }
            (Place::Name, _) => builder.close(self.at)?,
            (place, marker) => {
                if let (Place::Element, Some(Some(left))) = (place, self.left.last_mut()) {
                    *left -= 1;
                }
                self.value(marker, start, builder)?;
            }
        }
        Ok(true)
    }

    fn value(&mut self, marker: u8, start: usize, builder: &mut Builder) -> Result<(), ForestError> {
        let value = match marker {
            b'[' => return self.array(start, builder),
            b'{' => {
                if matches!(self.peek()?, b'$' | b'#') {
                    return Err(self.error("an object with a type or a count, which XGBoost does not write"));
                }
                return builder.open_object(start);
            }
            b'Z' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'S' => Value::Text(self.string()?),
            b'C' => Value::Text(char::from(self.byte()?).to_string()),
            _ => Value::Number(self.number(marker)?),
        };
        builder.push(value, start)
    }

    fn array(&mut self, start: usize, builder: &mut Builder) -> Result<(), ForestError> {
        builder.open_array(start)?;
        let element = match self.peek()? {
            b'$' => {
                self.at += 1;
                Some(self.byte()?)
            }
            _ => None,
        };
        let count = match self.peek() {
            Ok(b'#') => {
                self.at += 1;
                Some(self.count()?)
            }
            _ => None,
        };
        match (element, count) {
            (None, count) => {
                self.left.push(count);
                Ok(())
            }
            (Some(marker), Some(count)) => {
                self.typed(marker, count, builder)?;
                builder.close(self.at)
            }
            (Some(_), None) => Err(self.error("an array with a type and without a count")),
        }
    }

    /// The numbers of an array that says their type once.
    fn typed(&mut self, marker: u8, count: usize, builder: &mut Builder) -> Result<(), ForestError> {
        let size = number_size(marker).ok_or_else(|| self.error("an array of a type that is no number"))?;
        let length = count.checked_mul(size).filter(|length| *length <= self.bytes.len() - self.at);
        let Some(length) = length else {
            let left = self.bytes.len() - self.at;
            return Err(self.error(&format!("an array of {count} numbers of {size} bytes, but {left} bytes are left")));
        };
        let bytes = self.bytes.get(self.at..self.at + length).unwrap_or_default();
        builder.extend(bytes.chunks_exact(size).map(|bytes| decode(marker, bytes)));
        self.at += length;
        Ok(())
    }

    fn number(&mut self, marker: u8) -> Result<f64, ForestError> {
        let Some(size) = number_size(marker) else {
            self.at -= 1;
            return Err(self.error(&format!("expected a value, found marker '{}'", marker.escape_ascii())));
        };
        let bytes = self.take(size)?;
        Ok(decode(marker, bytes))
    }

    /// A length: a whole number from 0, no larger than what is left to read.
    fn count(&mut self) -> Result<usize, ForestError> {
        let marker = self.byte()?;
        if matches!(marker, b'd' | b'D') {
            return Err(self.error("a length that is no whole number"));
        }
        let number = self.number(marker)?;
        let left = self.bytes.len() - self.at;
        super::whole(number)
            .filter(|count| *count <= left)
            .ok_or_else(|| self.error(&format!("a length of {number}, but {left} bytes are left")))
    }

    fn string(&mut self) -> Result<String, ForestError> {
        let length = self.count()?;
        let start = self.at;
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).map_err(|_| ForestError::syntax(start, "the text is not UTF-8"))
    }

    fn take(&mut self, length: usize) -> Result<&[u8], ForestError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.error("the file ends in the middle of the document"))?;
        let start = std::mem::replace(&mut self.at, end);
        Ok(self.bytes.get(start..end).unwrap_or_default())
    }

    fn byte(&mut self) -> Result<u8, ForestError> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Result<u8, ForestError> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.error("the file ends in the middle of the document"))
    }

    fn error(&self, problem: &str) -> ForestError {
        ForestError::syntax(self.at, problem)
    }
}

fn number_size(marker: u8) -> Option<usize> {
    match marker {
        b'i' | b'U' => Some(1),
        b'I' => Some(2),
        b'l' | b'd' => Some(4),
        b'L' | b'D' => Some(8),
        _ => None,
    }
}

/// The number of a type in its bytes, the highest first.
fn decode(marker: u8, bytes: &[u8]) -> f64 {
    let mut all = [0; 8];
    let start = all.len() - bytes.len().min(8);
    all.iter_mut().skip(start).zip(bytes).for_each(|(target, byte)| *target = *byte);
    let bits = u64::from_be_bytes(all);
    match marker {
        b'i' => f64::from(bits as i8),
        b'U' => bits as f64,
        b'I' => f64::from(bits as i16),
        b'l' => f64::from(bits as i32),
        b'd' => f64::from(f32::from_bits(bits as u32)),
        b'D' => f64::from_bits(bits),
        _ => (bits as i64) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let mut bytes =
            b"{i\x01a[$d#i\x02\x3f\x80\0\0\xc0\0\0\0i\x01b[#i\x03i\xffU\xffI\xff\xfei\x01c[SU\x01xZ]".to_vec();
        bytes.extend(b"i\x01d{i\x01eT}i\x01fD\x3f\xf8\0\0\0\0\0\0i\x01gl\xff\xff\xff\xfei\x01h[]i\x01iC!}");
        let text = |text: &str| Value::Text(text.into());
        let expected = Value::Object(vec![
            ("a".into(), Value::Numbers(vec![1.0, -2.0])),
            ("b".into(), Value::Numbers(vec![-1.0, 255.0, -2.0])),
            ("c".into(), Value::List(vec![text("x"), Value::Null])),
            ("d".into(), Value::Object(vec![("e".into(), Value::Bool(true))])),
            ("f".into(), Value::Number(1.5)),
            ("g".into(), Value::Number(-2.0)),
            ("h".into(), Value::Numbers(vec![])),
            ("i".into(), text("!")),
        ]);
        assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn counts_are_believed_as_far_as_there_are_bytes() {
        for (bytes, problem) in [
            (&b"[$d#l\x7f\xff\xff\xff"[..], "byte 9: a length of 2147483647, but 0 bytes are left"),
            (b"[$D#i\x02\0\0\0\0\0\0\0\0", "byte 6: an array of 2 numbers of 8 bytes, but 8 bytes are left"),
            (b"[$T#i\x01", "byte 6: a length of 1, but 0 bytes are left"),
            (b"[$T#i\x01\0", "byte 6: an array of a type that is no number"),
            (b"[#i\xff", "byte 4: a length of -1, but 0 bytes are left"),
            (b"{L\x7f\xff\xff\xff\xff\xff\xff\xff", "byte 10: a length of 9223372036854776000, but 0 bytes are left"),
            (b"[#i\x02i\x01", "byte 6: the file ends in the middle of the document"),
            (b"{#i\x01", "byte 1: an object with a type or a count, which XGBoost does not write"),
            (b"[x", "byte 1: expected a value, found marker 'x'"),
            (b"[]]", "byte 2: something follows the document"),
            (b"[$d]", "byte 3: an array with a type and without a count"),
            (b"", "byte 0: the file ends in the middle of the document"),
        ] {
            let found = parse(bytes).unwrap_err().to_string();
            assert_eq!(found, problem, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn nesting_is_limited() {
        let found = parse(&[b'['; 100_000]).unwrap_err().to_string();
        assert_eq!(found, "byte 32: more than 32 arrays and objects inside each other");
    }
}
