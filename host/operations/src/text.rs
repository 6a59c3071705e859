//! Byte strings: base64, and texts that are known to be UTF-8.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use nereid_tensor::{DataType, Shape, Tensor};

use crate::{Budget, OperationError, output::blobs};

/// Characters of a text that cannot be read that are shown.
const SHOWN_CHARS: usize = 20;

/// Which base64.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base64 {
    /// `-` and `_` instead of `+` and `/`, as in links and JSON web tokens.
    pub url_safe: bool,
    /// Written without `=` at the end. Reading takes texts with and without.
    pub unpadded: bool,
}

/// Every element of a BYTES tensor as base64.
///
/// # Errors
/// Not BYTES.
pub fn encode_base64(tensor: &Tensor, form: Base64, budget: Budget) -> Result<Tensor, OperationError> {
    const OPERATION: &str = "encode-base64";
    expect_bytes(OPERATION, tensor)?;
    budget.check(OPERATION, (tensor.byte_size() as u64).checked_mul(2))?;
    let engine = form.engine();
    let encoded: Vec<String> = tensor.byte_strings().map(|element| engine.encode(element)).collect();
    blobs(OPERATION, tensor.shape().clone(), &encoded, budget)
}

/// What every element of a BYTES tensor encodes.
///
/// # Errors
/// Not BYTES, or an element that is no base64; the text says which, and where it breaks off.
pub fn decode_base64(tensor: &Tensor, form: Base64, budget: Budget) -> Result<Tensor, OperationError> {
    const OPERATION: &str = "decode-base64";
    expect_bytes(OPERATION, tensor)?;
    budget.check(OPERATION, (tensor.byte_size() as u64).checked_mul(2))?;
    let engine = form.engine();
    let decode = |(index, element): (usize, &[u8])| {
        engine.decode(element).map_err(|error| {
            let shown = shown(element);
            OperationError::argument(OPERATION, format_args!("element {index}, '{shown}', is no base64: {error}"))
        })
    };
    let decoded: Result<Vec<Vec<u8>>, _> = tensor.byte_strings().enumerate().map(decode).collect();
    blobs(OPERATION, tensor.shape().clone(), &decoded?, budget)
}

/// `count` elements of a BYTES tensor from number `first` on, as texts.
///
/// # Errors
/// Not BYTES, not so many elements, or one that is not UTF-8.
pub fn texts(tensor: &Tensor, first: u32, count: u32, budget: Budget) -> Result<Vec<String>, OperationError> {
    const OPERATION: &str = "texts";
    expect_bytes(OPERATION, tensor)?;
    let found = tensor.element_count();
    if u64::from(first) + u64::from(count) > found {
        let text = format!("{count} elements from number {first} on reach beyond the tensor's {found} elements");
        return Err(OperationError::argument(OPERATION, text));
    }
    budget.check(OPERATION, Some(tensor.byte_size() as u64))?;
    let read = |(index, element): (usize, &[u8])| {
        let text = std::str::from_utf8(element).map_err(|error| {
            OperationError::argument(OPERATION, format_args!("element {index} is not UTF-8: {error}"))
        });
        text.map(str::to_owned)
    };
    tensor.byte_strings().enumerate().skip(first as usize).take(count as usize).map(read).collect()
}

/// A BYTES tensor of texts.
///
/// # Errors
/// The shape calls for another number of elements.
pub fn from_texts(shape: Shape, texts: &[String], budget: Budget) -> Result<Tensor, OperationError> {
    blobs("from-texts", shape, texts, budget)
}

/// The bytes of one element of a BYTES tensor as a UINT8 tensor. Costs no copy.
///
/// # Errors
/// Not BYTES, or no such element.
pub fn blob_bytes(tensor: &Tensor, index: u32) -> Result<Tensor, OperationError> {
    const OPERATION: &str = "blob-bytes";
    expect_bytes(OPERATION, tensor)?;
    let no_element = || {
        let text = format!("there is no element {index} in a tensor of shape {}", tensor.shape());
        OperationError::argument(OPERATION, text)
    };
    let mut end = 0;
    let mut lengths = tensor.byte_strings().map(<[u8]>::len);
    for length in lengths.by_ref().take(index as usize) {
        end += length + 4;
    }
    let length = lengths.next().ok_or_else(no_element)?;
    let start = end + 4;
    let view = tensor.buffer().slice(start..start + length).ok_or_else(no_element)?;
    Tensor::new(DataType::Uint8, [length as u64].into(), view)
        .map_err(|error| OperationError::argument(OPERATION, error))
}

pub(crate) fn expect_bytes(operation: &'static str, tensor: &Tensor) -> Result<(), OperationError> {
    if tensor.data_type() == DataType::Bytes {
        return Ok(());
    }
    let text = format!("the tensor is of {}, expected BYTES", tensor.data_type());
    Err(OperationError::argument(operation, text))
}

/// The beginning of a text, fit for a line.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let beginning: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() { format!("{beginning}…") } else { beginning }
}

// === impl Base64 ===

impl Base64 {
    fn engine(self) -> GeneralPurpose {
        let config = GeneralPurposeConfig::new()
            .with_encode_padding(!self.unpadded)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        GeneralPurpose::new(if self.url_safe { &URL_SAFE } else { &STANDARD }, config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: fn() -> Budget = || Budget::new(1 << 20);

    fn words(words: &[&[u8]]) -> Tensor {
        Tensor::from_byte_strings([words.len() as u64], words).unwrap()
    }

    #[test]
    fn base64_goes_there_and_back_in_every_form() {
        let plain = words(&[b"", b"\xff\xfe\xfd\xfc", b"ab"]);
        for url_safe in [false, true] {
            for unpadded in [false, true] {
                let form = Base64 { url_safe, unpadded };
                let encoded = encode_base64(&plain, form, BUDGET()).unwrap();
                let decoded = decode_base64(&encoded, form, BUDGET()).unwrap();
                assert_eq!(decoded.buffer().as_slice(), plain.buffer().as_slice());
            }
        }
        let encoded = encode_base64(&plain, Base64::default(), BUDGET()).unwrap();
        assert_eq!(encoded.byte_strings().collect::<Vec<_>>(), [b"".as_slice(), b"//79/A==", b"YWI="]);
    }

    #[test]
    fn what_is_no_base64_is_shown() {
        let error = decode_base64(&words(&[b"YWI=", b"a\nb?aaaaaaaaaaaaaaaaaaaaaaa"]), Base64::default(), BUDGET());
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("decode-base64: element 1, 'a\\nb?aaaaaaaaaaaaaaaa…', is no base64: "), "{text}");
    }

    #[test]
    fn texts_are_checked_where_they_are_read() {
        let tensor = words(&["ü".as_bytes(), b"", b"\xff"]);
        assert_eq!(texts(&tensor, 0, 2, BUDGET()).unwrap(), ["ü", ""]);
        let error = texts(&tensor, 1, 2, BUDGET()).unwrap_err().to_string();
        assert!(error.starts_with("texts: element 2 is not UTF-8"), "{error}");
        assert!(texts(&tensor, 3, u32::MAX, BUDGET()).is_err());
        assert!(from_texts([2].into(), &["a".to_owned()], BUDGET()).is_err());
    }

    #[test]
    fn the_bytes_of_an_element_are_a_view() {
        let tensor = words(&[b"abc", b"", b"de"]);
        let view = blob_bytes(&tensor, 2).unwrap();
        assert_eq!(view.buffer().as_slice(), b"de");
        assert_eq!(view.buffer().as_slice().as_ptr(), tensor.buffer().as_slice()[15..].as_ptr());
        assert_eq!(blob_bytes(&tensor, 1).unwrap().element_count(), 0);
        assert!(blob_bytes(&tensor, 3).is_err());
    }
}
