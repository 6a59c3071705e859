//! JSON as XGBoost writes it: the standard, and `NaN`, `Infinity`, `-Infinity` and `inf` for numbers that it has no word for,
//! which is why it is not left to a library.

use crate::{
    ForestError,
    document::{
        Value,
        builder::{Builder, Place},
    },
};

struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Reads a document.
///
/// # Errors
/// The first byte that is wrong.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, ForestError> {
    let mut json = Json { bytes, at: 0 };
    let mut builder = Builder::default();
    while json.step(&mut builder)? {}
    builder.finish(json.at)
}

// === impl Json ===

impl Json<'_> {
    /// Reads up to the next value, name or end; false when the document is over.
    fn step(&mut self, builder: &mut Builder) -> Result<bool, ForestError> {
        self.skip_spaces();
        let place = builder.place();
        let Some(mut byte) = self.peek() else {
            return if place == Place::End {
                Ok(false)
            } else {
                Err(self.error("the file ends in the middle of the document"))
            };
        };
        if place == Place::End {
            return Err(self.error("something follows the document"));
        }
        let separates = matches!(place, Place::Element | Place::Name) && !builder.is_empty();
        if separates && !matches!(byte, b']' | b'}') {
            self.expect(b',')?;
            self.skip_spaces();
            byte = self.peek().unwrap_or_default();
            if matches!(byte, b']' | b'}') {
                return Err(self.error("expected something behind the comma"));
            }
        }
        match (place, byte) {
            (Place::Element, b']') | (Place::Name, b'}') => {
                self.at += 1;
                builder.close(self.at)?;
            }
            (Place::Name, _) => {
                let name = self.string()?;
                self.skip_spaces();
                self.expect(b':')?;
                builder.name(name);
            }
            _ => self.value(byte, builder)?,
        }
        Ok(true)
    }

    fn value(&mut self, byte: u8, builder: &mut Builder) -> Result<(), ForestError> {
        let start = self.at;
        let value = match byte {
            b'[' => {
                self.at += 1;
                return builder.open_array(start);
            }
            b'{' => {
                self.at += 1;
                return builder.open_object(start);
            }
            b'"' => Value::Text(self.string()?),
            _ => self.word()?,
        };
        builder.push(value, start)
    }

    /// A number, or one of the words.
    fn word(&mut self) -> Result<Value, ForestError> {
        let start = self.at;
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = self.bytes.get(start..).unwrap_or_default().iter().take_while(is_part).count();
        let word = self.bytes.get(start..start + length).unwrap_or_default();
        let text = std::str::from_utf8(word).unwrap_or_default();
        let value = match text {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            // Rust's own parser takes the words for what is not finite, in any case.
            _ => Value::Number(text.parse().map_err(|_| {
                let shown: String = text.chars().take(30).collect();
                self.error(&format!("expected a value, found '{shown}'"))
            })?),
        };
        self.at += length;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, ForestError> {
        let start = self.at;
        self.expect(b'"')?;
        let mut text = Vec::new();
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            text.extend(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return String::from_utf8(text).map_err(|_| ForestError::syntax(start, "the text is not UTF-8"));
                }
                Some(b'\\') => text.extend(self.escape()?.encode_utf8(&mut [0; 4]).bytes()),
                Some(_) => return Err(self.error("a control character inside a text")),
                None => return Err(ForestError::syntax(start, "the text does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ForestError> {
        let kind = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        match kind {
            Some(byte @ (b'"' | b'\\' | b'/')) => Ok(char::from(byte)),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => {
                let digits = self.bytes.get(self.at..self.at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let code = code.ok_or_else(|| self.error("expected four hexadecimal digits"))?;
                self.at += 4;
                // Halves of a pair stand for nothing that a model's names need.
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            _ => Err(ForestError::syntax(self.at.saturating_sub(2), "an escape that is none")),
        }
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), ForestError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        let found = self.peek().map_or_else(|| "the end".to_owned(), |byte| format!("'{}'", byte.escape_ascii()));
        Err(self.error(&format!("expected '{}', found {found}", char::from(byte))))
    }

    fn error(&self, problem: &str) -> ForestError {
        ForestError::syntax(self.at, problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let found = parse(br#" {"a" : [1, -2.5e1, true], "b": ["x\n\u00e9\\", null, {}], "c": {"d": []}, "e": 3} "#);
        let expected = Value::Object(vec![
            ("a".into(), Value::Numbers(vec![1.0, -25.0, 1.0])),
            ("b".into(), Value::List(vec![text("x\n\u{e9}\\"), Value::Null, Value::Object(vec![])])),
            ("c".into(), Value::Object(vec![("d".into(), Value::Numbers(vec![]))])),
            ("e".into(), Value::Number(3.0)),
        ]);
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn numbers_that_json_has_no_word_for_are_read() {
        let Ok(Value::Numbers(found)) = parse(b"[Infinity,-Infinity,NaN,1E-45,inf]") else { panic!("no numbers") };
        assert_eq!((found[0], found[1], found[4]), (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY));
        assert!(found[2].is_nan() && found[3] as f32 == f32::from_bits(1));
    }

    #[test]
    fn an_array_of_mixed_values_keeps_its_numbers() {
        assert_eq!(parse(b"[1,\"x\",2]"), Ok(Value::List(vec![Value::Number(1.0), text("x"), Value::Number(2.0)])));
    }

    #[test]
    fn mistakes_are_told_by_place() {
        for (document, problem) in [
            ("", "byte 0: the file ends in the middle of the document"),
            ("{\"a\":1", "byte 6: the file ends in the middle of the document"),
            ("{\"a\" 1}", "byte 5: expected ':', found '1'"),
            ("[1 2]", "byte 3: expected ',', found '2'"),
            ("[1,]", "byte 3: expected something behind the comma"),
            ("[,1]", "byte 1: expected a value, found ''"),
            ("[1}", "byte 2: expected a value, found ''"),
            ("{} x", "byte 3: something follows the document"),
            ("\"abc", "byte 0: the text does not end"),
            ("[1e]", "byte 1: expected a value, found '1e'"),
            ("\"\\x\"", "byte 1: an escape that is none"),
            ("[\"a\nb\"]", "byte 3: a control character inside a text"),
        ] {
            assert_eq!(parse(document.as_bytes()).unwrap_err().to_string(), problem, "{document}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let deep = "[".repeat(1_000_000);
        let found = parse(deep.as_bytes()).unwrap_err().to_string();
        assert_eq!(found, "byte 32: more than 32 arrays and objects inside each other");
    }
}
