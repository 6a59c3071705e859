//! Elements written on the command line: `1,2,3`, `[[1,2],[3,4]]`, `some text`.

use half::{bf16, f16};
use nereid_tensor::{DataType, encode_bytes_elements};
use serde_json::Value;

use crate::shapes::Given;

/// Deepest nesting of a list; tensors of more dimensions do not exist.
const NESTING_MAX: usize = 32;

/// Elements in the protocol's encoding and what is known of their shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Elements {
    pub(crate) given: Given,
    pub(crate) bytes: Vec<u8>,
}

/// Reads the elements of one input. `wanted` is how many the model's shape calls for in one request, where it says.
///
/// # Errors
/// An element that is not of the type, with its place; lists that are not rectangular.
pub(crate) fn parse(text: &str, data_type: DataType, wanted: Option<u64>) -> Result<Elements, String> {
    if text.trim_start().starts_with('[')
        && let Ok(list) = serde_json::from_str::<Value>(text)
    {
        return parse_list(&list, data_type);
    }
    if data_type == DataType::Bytes {
        // A comma is part of a text, unless the model wants several and that many are there.
        let parts: Vec<&str> = text.split(',').collect();
        let several = wanted.is_some_and(|wanted| wanted > 1 && wanted == parts.len() as u64);
        return Ok(texts(if several { &parts } else { std::slice::from_ref(&text) }));
    }
    let words: Vec<&str> = match text.trim() {
        "" => vec![],
        text => text.split(',').map(str::trim).collect(),
    };
    Ok(Elements { given: Given::Flat(words.len() as u64), bytes: encode(&words, data_type)? })
}

fn texts<T: AsRef<[u8]>>(elements: &[T]) -> Elements {
    Elements { given: Given::Flat(elements.len() as u64), bytes: encode_bytes_elements(elements).to_vec() }
}

/// The elements of nested lists, as answers in JSON have them too.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_list(list: &Value, data_type: DataType) -> Result<Elements, String> {
    let mut dims = Vec::new();
    let mut front = list;
    while let Value::Array(items) = front {
        if dims.len() == NESTING_MAX {
            return Err(format!("the list is nested deeper than {NESTING_MAX}"));
        }
        dims.push(items.len() as u64);
        let Some(first) = items.first() else { break };
        front = first;
    }
    let mut words = Vec::new();
    flatten(list, &dims, &mut words)?;
    let given = Given::Shaped(dims);
    let bytes = match data_type {
        DataType::Bytes => encode_bytes_elements(&words).to_vec(),
        _ => encode(&words, data_type)?,
    };
    Ok(Elements { given, bytes })
}

fn flatten(value: &Value, dims: &[u64], words: &mut Vec<String>) -> Result<(), String> {
    match (value, dims) {
        (Value::Array(items), [length, inner @ ..]) if items.len() as u64 == *length => {
            items.iter().try_for_each(|item| flatten(item, inner, words))
        }
        (Value::String(text), []) => {
            words.push(text.clone());
            Ok(())
        }
        (Value::Number(_) | Value::Bool(_), []) => {
            words.push(value.to_string());
            Ok(())
        }
        _ => Err("the list is not rectangular, or holds something that is neither number, text nor boolean".to_owned()),
    }
}

fn encode<T: AsRef<str>>(words: &[T], data_type: DataType) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(words.len() * data_type.size_bytes().unwrap_or(0));
    for (index, word) in words.iter().enumerate() {
        let word = word.as_ref();
        push(word, data_type, &mut bytes)
            .ok_or_else(|| format!("expected {data_type} elements, found '{word}' at place {}", index + 1))?;
    }
    Ok(bytes)
}

/// Appends one element; `None` when the word is not of the type or out of its range.
fn push(word: &str, data_type: DataType, bytes: &mut Vec<u8>) -> Option<()> {
    macro_rules! number {
        ($number:ty) => {
            bytes.extend_from_slice(&word.parse::<$number>().ok()?.to_le_bytes())
        };
    }
    match data_type {
        DataType::Bool => bytes.push(match word {
            "true" | "1" => 1,
            "false" | "0" => 0,
            _ => return None,
        }),
        DataType::Uint8 => number!(u8),
        DataType::Uint16 => number!(u16),
        DataType::Uint32 => number!(u32),
        DataType::Uint64 => number!(u64),
        DataType::Int8 => number!(i8),
        DataType::Int16 => number!(i16),
        DataType::Int32 => number!(i32),
        DataType::Int64 => number!(i64),
        DataType::Fp16 => bytes.extend_from_slice(&f16::from_f32(word.parse().ok()?).to_le_bytes()),
        DataType::Bf16 => bytes.extend_from_slice(&bf16::from_f32(word.parse().ok()?).to_le_bytes()),
        DataType::Fp32 => number!(f32),
        DataType::Fp64 => number!(f64),
        DataType::Bytes => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, data_type: DataType, given: Given, bytes: &[u8]) {
        assert_eq!(parse(text, data_type, Some(2)), Ok(Elements { given, bytes: bytes.to_vec() }));
    }

    #[track_caller]
    fn check_refused(text: &str, data_type: DataType, expected: &str) {
        assert_eq!(parse(text, data_type, None), Err(expected.to_owned()));
    }

    #[test]
    fn numbers_are_separated_by_commas() {
        check("1, -2", DataType::Int16, Given::Flat(2), &[1, 0, 0xfe, 0xff]);
        check("1.5", DataType::Fp32, Given::Flat(1), &1.5_f32.to_le_bytes());
        check("1.5", DataType::Fp16, Given::Flat(1), &[0, 0x3e]);
        check("true,0", DataType::Bool, Given::Flat(2), &[1, 0]);
        check("", DataType::Uint8, Given::Flat(0), &[]);
    }

    #[test]
    fn nested_lists_bring_their_shape() {
        check("[[1,2],[3,4]]", DataType::Uint8, Given::Shaped(vec![2, 2]), &[1, 2, 3, 4]);
        check("[]", DataType::Uint8, Given::Shaped(vec![0]), &[]);
        check(r#"["a,b"]"#, DataType::Bytes, Given::Shaped(vec![1]), b"\x03\0\0\0a,b");
    }

    #[test]
    fn a_text_is_one_element_unless_the_model_wants_as_many_as_it_has_parts() {
        check("ab", DataType::Bytes, Given::Flat(1), b"\x02\0\0\0ab");
        check("a,b", DataType::Bytes, Given::Flat(2), b"\x01\0\0\0a\x01\0\0\0b");
        check("a,b,c", DataType::Bytes, Given::Flat(1), b"\x05\0\0\0a,b,c");
        check("[a", DataType::Bytes, Given::Flat(1), b"\x02\0\0\0[a");
    }

    #[test]
    fn what_is_not_of_the_type_is_named_with_its_place() {
        check_refused("1,300", DataType::Uint8, "expected UINT8 elements, found '300' at place 2");
        check_refused("1.5", DataType::Int32, "expected INT32 elements, found '1.5' at place 1");
        check_refused("[1,\"x\"]", DataType::Fp64, "expected FP64 elements, found 'x' at place 2");
        let ragged = "the list is not rectangular, or holds something that is neither number, text nor boolean";
        check_refused("[[1],[2,3]]", DataType::Int8, ragged);
        check_refused("[1,null]", DataType::Int8, ragged);
    }
}
