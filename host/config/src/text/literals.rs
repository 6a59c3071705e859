//! The values that tokens stand for.

use crate::error::Problem;

use super::lexer::Token;

/// The magnitude of a decimal, octal (`017`) or hexadecimal (`0x1F`) number; `None` when it is no whole number.
pub(crate) fn magnitude(text: &str) -> Option<u128> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return whole(digits, 16);
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => whole(digits, 8),
        _ => whole(text, 10),
    }
}

/// `from_str_radix` takes a sign, which a token never has.
fn whole(digits: &str, radix: u32) -> Option<u128> {
    digits.chars().all(|c| c.is_digit(radix)).then(|| u128::from_str_radix(digits, radix).ok()).flatten()
}

/// A number with or without fraction; a trailing `f` is allowed.
pub(crate) fn float(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.strip_suffix(['f', 'F']).unwrap_or(text).parse().ok()
}

/// Appends the bytes of a quoted string to `bytes`.
pub(crate) fn unquote(token: &Token<'_>, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    let inner = token.text.get(1..token.text.len().saturating_sub(1)).unwrap_or_default();
    let mut characters = inner.char_indices();
    while let Some((offset, character)) = characters.next() {
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let rest = inner.get(offset + 1..).unwrap_or_default();
        let Some(length) = escape(rest, bytes) else {
            let start = token.start + 1 + offset;
            return Err(Problem::new(start..start + 2, "unknown escape in a string")
                .help(r#"escapes are \n \r \t \a \b \f \v \\ \' \" \?, \nnn, \xhh, \uhhhh and \Uhhhhhhhh"#));
        };
        let Some(last) = length.checked_sub(1) else { continue };
        characters.nth(last);
    }
    Ok(())
}

/// Writes what the escape at the start of `rest`, behind its backslash, stands for; returns its length, which is the
/// same in bytes and characters.
fn escape(rest: &str, bytes: &mut Vec<u8>) -> Option<usize> {
    let simple = match rest.chars().next()? {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'v' => 0x0b,
        c @ ('\\' | '\'' | '"' | '?') => u8::try_from(c).ok()?,
        'x' | 'X' => {
            let (byte, digits) = digits(rest.get(1..)?, 16, 2)?;
            bytes.push(u8::try_from(byte).ok()?);
            return Some(1 + digits);
        }
        '0'..='7' => {
            let (byte, digits) = digits(rest, 8, 3)?;
            bytes.push(u8::try_from(byte).ok()?);
            return Some(digits);
        }
        c @ ('u' | 'U') => {
            let wanted = if c == 'u' { 4 } else { 8 };
            let (scalar, found) = digits(rest.get(1..)?, 16, wanted)?;
            let character = char::from_u32(scalar).filter(|_| found == wanted)?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(1 + found);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(1)
}

/// Up to `count` leading digits as a number, and how many there are.
fn digits(rest: &str, radix: u32, count: usize) -> Option<(u32, usize)> {
    let length = rest.chars().take(count).take_while(|c| c.is_digit(radix)).count();
    let value = u32::from_str_radix(rest.get(..length)?, radix).ok()?;
    Some((value, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::lexer::Lexer;

    fn check(quoted: &str, expected: Option<&[u8]>) {
        let mut bytes = Vec::new();
        let result = unquote(&Lexer::new(quoted).next().unwrap(), &mut bytes);
        assert_eq!(result.is_ok().then_some(bytes.as_slice()), expected, "{quoted}");
    }

    #[test]
    fn escapes_stand_for_bytes() {
        check(r#""a\tb\\\"""#, Some(b"a\tb\\\""));
        check(r"'\x41\101\u00b5\U0001F600\0'", Some("AA\u{b5}\u{1F600}\0".as_bytes()));
        check("'µ'", Some("µ".as_bytes()));
    }

    #[test]
    fn refuses_unknown_and_incomplete_escapes() {
        for quoted in [r"'\q'", r"'\x'", r"'\u12'", r"'\777'", r"'\ud800'", "'\\µ'"] {
            check(quoted, None);
        }
    }

    #[test]
    fn numbers_have_three_bases() {
        assert_eq!([magnitude("10"), magnitude("0x1F"), magnitude("017"), magnitude("0")], [10, 31, 15, 0].map(Some));
        assert_eq!([magnitude("1.5"), magnitude("08"), magnitude("0x"), magnitude("1e3")], [None, None, None, None]);
    }

    #[test]
    fn floats_take_a_suffix_and_infinity() {
        assert_eq!([float("1.5f"), float(".5"), float("2e3"), float("inf")], [1.5, 0.5, 2e3, f64::INFINITY].map(Some));
        assert_eq!([float("x"), float("1.2.3")], [None, None]);
    }
}
