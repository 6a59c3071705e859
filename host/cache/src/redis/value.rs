//! How an answer is written into Redis, and read back by somebody who does not trust what comes.
//!
//! Layout: the form's name, a digest of the rest that only this key makes, the outputs (name, type, shape, bytes), the
//! parameters; lengths before everything, all numbers little endian. What is cut off, changed, of another form or under
//! another key is not read.

use nereid_inference::{InferResponse, NamedTensor, ParameterValue};
use nereid_tensor::{BufferMut, DataType, Shape, Tensor};

use crate::CacheKey;

/// Name of the form; another form gets another one, and readers of each miss what the other wrote.
const FORM: &[u8] = b"nereid-answer-1\n";

/// What stands before outputs and parameters.
const HEAD_BYTES: usize = FORM.len() + blake3::OUT_LEN;

/// The value to be kept under `key`.
pub(crate) fn encode(key: &CacheKey, response: &InferResponse) -> Vec<u8> {
    let tensor_bytes: usize = response.outputs.iter().map(|output| output.tensor.byte_size()).sum();
    let mut value = Vec::with_capacity(HEAD_BYTES + 256 + tensor_bytes);
    value.extend_from_slice(FORM);
    value.extend_from_slice(&[0; blake3::OUT_LEN]);
    put_number(&mut value, response.outputs.len() as u64);
    for NamedTensor { name, tensor } in &response.outputs {
        put_field(&mut value, name.as_bytes());
        put_field(&mut value, tensor.data_type().name().as_bytes());
        put_number(&mut value, tensor.shape().len() as u64);
        tensor.shape().iter().for_each(|dimension| put_number(&mut value, *dimension));
        put_field(&mut value, tensor.buffer().as_slice());
    }
    put_number(&mut value, response.parameters.len() as u64);
    for (name, parameter) in response.parameters.iter() {
        put_field(&mut value, name.as_bytes());
        put_parameter(&mut value, parameter);
    }
    let digest = digest(key, value.get(HEAD_BYTES..).unwrap_or_default());
    if let Some(place) = value.get_mut(FORM.len()..HEAD_BYTES) {
        place.copy_from_slice(digest.as_bytes());
    }
    value
}

/// The answer that [`encode`] wrote under this key; `None` for anything else.
pub(crate) fn decode(key: &CacheKey, value: &[u8]) -> Option<InferResponse> {
    let (head, body) = value.split_at_checked(HEAD_BYTES)?;
    let written: [u8; blake3::OUT_LEN] = head.strip_prefix(FORM)?.try_into().ok()?;
    // In constant time, as the crate compares digests.
    if digest(key, body) != blake3::Hash::from_bytes(written) {
        return None;
    }
    let mut reader = Reader(body);
    let mut response = InferResponse::default();
    for _ in 0..reader.number()? {
        response.outputs.push(reader.output()?);
    }
    for _ in 0..reader.number()? {
        let name = reader.text()?;
        response.parameters.insert(name, reader.parameter()?);
    }
    reader.0.is_empty().then_some(response)
}

fn digest(key: &CacheKey, body: &[u8]) -> blake3::Hash {
    blake3::keyed_hash(key.as_bytes(), body)
}

fn put_number(value: &mut Vec<u8>, number: u64) {
    value.extend_from_slice(&number.to_le_bytes());
}

fn put_field(value: &mut Vec<u8>, bytes: &[u8]) {
    put_number(value, bytes.len() as u64);
    value.extend_from_slice(bytes);
}

fn put_parameter(value: &mut Vec<u8>, parameter: &ParameterValue) {
    let (kind, bytes): (u8, &[u8]) = match parameter {
        ParameterValue::Bool(flag) => (0, &[u8::from(*flag)]),
        ParameterValue::Int(number) => (1, &number.to_le_bytes()),
        ParameterValue::Uint(number) => (2, &number.to_le_bytes()),
        ParameterValue::Double(number) => (3, &number.to_bits().to_le_bytes()),
        ParameterValue::String(text) => (4, text.as_bytes()),
    };
    value.push(kind);
    put_field(value, bytes);
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

// === impl Reader ===

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(size_of::<u64>())?.try_into().ok()?))
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.field()?).ok()
    }

    fn output(&mut self) -> Option<NamedTensor> {
        let name = self.text()?;
        let data_type: DataType = self.text()?.parse().ok()?;
        let rank = self.number()?;
        let shape: Shape = (0..rank).map(|_| self.number()).collect::<Option<_>>()?;
        let buffer = BufferMut::copy_of(self.field()?).freeze();
        Some(NamedTensor::new(name, Tensor::new(data_type, shape, buffer).ok()?))
    }

    fn parameter(&mut self) -> Option<ParameterValue> {
        let kind = self.take(1)?;
        let bytes = self.field()?;
        Some(match kind {
            [0] => ParameterValue::Bool(match bytes {
                [0] => false,
                [1] => true,
                _ => return None,
            }),
            [1] => ParameterValue::Int(i64::from_le_bytes(bytes.try_into().ok()?)),
            [2] => ParameterValue::Uint(u64::from_le_bytes(bytes.try_into().ok()?)),
            [3] => ParameterValue::Double(f64::from_bits(u64::from_le_bytes(bytes.try_into().ok()?))),
            [4] => ParameterValue::String(std::str::from_utf8(bytes).ok()?.to_owned()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response() -> InferResponse {
        let mut response = InferResponse::new(vec![
            NamedTensor::new("Y", Tensor::from_elements([2, 2], &[1.0_f32, -2.0, 0.5, 3.0]).unwrap()),
            NamedTensor::new("S", Tensor::from_byte_strings([2], &["one", ""]).unwrap()),
            NamedTensor::new("", Tensor::from_elements::<i64>([0], &[]).unwrap()),
        ]);
        let parameters = [
            ("flag", ParameterValue::Bool(true)),
            ("int", ParameterValue::Int(-1)),
            ("uint", ParameterValue::Uint(u64::MAX)),
            ("double", ParameterValue::Double(0.25)),
            ("text", ParameterValue::String("é".into())),
        ];
        parameters.into_iter().for_each(|(name, value)| response.parameters.insert(name, value));
        response
    }

    fn key() -> CacheKey {
        CacheKey::of_number(1)
    }

    #[test]
    fn what_is_written_is_read() {
        let (written, read) = (response(), decode(&key(), &encode(&key(), &response())).unwrap());
        assert_eq!(read.parameters, written.parameters);
        assert_eq!(read.outputs.len(), written.outputs.len());
        for (read, written) in read.outputs.iter().zip(&written.outputs) {
            assert_eq!((&read.name, read.tensor.data_type()), (&written.name, written.tensor.data_type()));
            assert_eq!(read.tensor.shape(), written.tensor.shape());
            assert_eq!(read.tensor.buffer().as_slice(), written.tensor.buffer().as_slice());
        }
    }

    #[test]
    fn what_another_key_wrote_is_not_read() {
        assert!(decode(&CacheKey::of_number(2), &encode(&key(), &response())).is_none());
    }

    #[test]
    fn no_byte_can_change_and_none_be_missing() {
        let value = encode(&key(), &response());
        for position in 0..value.len() {
            let mut changed = value.clone();
            changed[position] ^= 1;
            assert!(decode(&key(), &changed).is_none(), "byte {position}");
            assert!(decode(&key(), &value[..position]).is_none(), "length {position}");
        }
        let longer = [value.as_slice(), &[0]].concat();
        assert!(decode(&key(), &longer).is_none());
    }

    /// Bodies whose digest is right, as somebody could write who knows the form: read or refused, never a panic.
    #[test]
    fn odd_bodies_are_refused() {
        let sealed = |body: &[u8]| [FORM, digest(&key(), body).as_bytes(), body].concat();
        let zeroes = [0; 16];
        assert!(decode(&key(), &sealed(&zeroes)).is_some(), "no outputs and no parameters");
        assert!(decode(&key(), &sealed(&[255; 100])).is_none());
        let good = encode(&key(), &response())[HEAD_BYTES..].to_vec();
        proptest!(|(position in 0..good.len(), byte: u8, cut in 0..good.len())| {
            let mut body = good.clone();
            body[position] = byte;
            decode(&key(), &sealed(&body));
            prop_assert!(decode(&key(), &sealed(&good[..cut])).is_none());
        });
    }
}
