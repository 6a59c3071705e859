//! Answers as bytes, and the key under which they are kept. Nothing here asks the host.
//!
//! Form: its number, then per output name, type, dimensions and data, with lengths in front, little endian. What another build of the
//! plugin wrote in another form reads as nothing.

use nereid_sdk::{DataType, Value};
use sha2::{Digest, Sha256};

/// Changes with the form of what is kept.
const FORM: u8 = 1;

/// The place of a type here is its number in what is kept: append only.
const TYPES: [DataType; 14] = [
    DataType::Boolean,
    DataType::Uint8,
    DataType::Uint16,
    DataType::Uint32,
    DataType::Uint64,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::Fp16,
    DataType::Bf16,
    DataType::Fp32,
    DataType::Fp64,
    DataType::Bytes,
];

/// A tensor of a question or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As the model calls it.
    pub name: String,
    /// The type of its elements.
    pub data_type: DataType,
    /// The extent in each dimension.
    pub shape: Vec<u64>,
    /// The buffer.
    pub bytes: Vec<u8>,
}

/// All that makes two requests the same question.
#[derive(Clone, Debug)]
pub struct Question {
    /// The inputs, in any order.
    pub inputs: Vec<Part>,
    /// The outputs that are wanted, in any order.
    pub wanted: Vec<String>,
    /// What the model is told beside the inputs.
    pub parameters: Vec<(String, Value)>,
}

// === impl Question ===

impl Question {
    /// A digest of the content: nobody can make another question that has it too.
    pub fn digest(mut self) -> [u8; 32] {
        self.inputs.sort_by(|left, right| left.name.cmp(&right.name));
        self.wanted.sort();
        self.parameters.sort_by(|left, right| left.0.cmp(&right.0));
        let mut bytes = encode(&self.inputs);
        self.wanted.iter().for_each(|name| put(&mut bytes, name.as_bytes()));
        // A mark between lists, which no length is.
        bytes.extend(u32::MAX.to_le_bytes());
        for (name, value) in &self.parameters {
            put(&mut bytes, name.as_bytes());
            put(&mut bytes, format!("{value:?}").as_bytes());
        }
        Sha256::digest(&bytes).into()
    }
}

/// Where the answer of these models to a question is kept.
pub fn key(models: &[String], digest: &[u8; 32]) -> String {
    let mut hash = Sha256::new();
    models.iter().for_each(|model| hash.update(format!("{model}\n")));
    hash.update(digest);
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().fold("answer/".to_owned(), |key, byte| format!("{key}{byte:02x}"))
}

/// A number from 0 to 99 that is always the same for the same bytes.
pub fn ticket(bytes: &[u8]) -> u32 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk().map_or(0, |first| (u64::from_le_bytes(*first) % 100) as u32)
}

/// Tensors as bytes.
pub fn encode(parts: &[Part]) -> Vec<u8> {
    let mut bytes = vec![FORM];
    bytes.extend((parts.len() as u32).to_le_bytes());
    for part in parts {
        put(&mut bytes, part.name.as_bytes());
        bytes.push(TYPES.iter().position(|data_type| *data_type == part.data_type).unwrap_or(TYPES.len()) as u8);
        let shape: Vec<u8> = part.shape.iter().flat_map(|extent| extent.to_le_bytes()).collect();
        put(&mut bytes, &shape);
        put(&mut bytes, &part.bytes);
    }
    bytes
}

/// The tensors again; none where the bytes are of another form.
pub fn decode(bytes: &[u8]) -> Option<Vec<Part>> {
    let mut rest = bytes.strip_prefix(&[FORM])?;
    let count = number(&mut rest)?;
    let parts: Option<Vec<Part>> = (0..count).map(|_| part(&mut rest)).collect();
    parts.filter(|_| rest.is_empty())
}

fn part(rest: &mut &[u8]) -> Option<Part> {
    let name = String::from_utf8(take(rest)?.to_vec()).ok()?;
    let (data_type, behind) = rest.split_first()?;
    *rest = behind;
    let data_type = *TYPES.get(usize::from(*data_type))?;
    let (extents, odd) = take(rest)?.as_chunks::<8>();
    let shape = odd.is_empty().then(|| extents.iter().map(|extent| u64::from_le_bytes(*extent)).collect())?;
    Some(Part { name, data_type, shape, bytes: take(rest)?.to_vec() })
}

fn put(bytes: &mut Vec<u8>, more: &[u8]) {
    bytes.extend((more.len() as u32).to_le_bytes());
    bytes.extend(more);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)? as usize;
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        let part = |name: &str, data_type, shape: &[u64], bytes: &[u8]| Part {
            name: name.to_owned(),
            data_type,
            shape: shape.to_vec(),
            bytes: bytes.to_vec(),
        };
        vec![part("logits", DataType::Fp32, &[1, 2], &[1; 8]), part("empty", DataType::Bytes, &[0], &[])]
    }

    fn question() -> Question {
        let parameters = vec![("top".to_owned(), Value::Int(3)), ("by".to_owned(), Value::from("size"))];
        Question { inputs: parts(), wanted: vec!["b".to_owned(), "a".to_owned()], parameters }
    }

    #[test]
    fn answers_read_back() {
        assert_eq!(decode(&encode(&parts())), Some(parts()));
        assert_eq!(decode(&encode(&[])), Some(vec![]));
    }

    #[test]
    fn what_is_cut_short_or_too_long_or_of_another_form_is_nothing() {
        let bytes = encode(&parts());
        assert!((0..bytes.len()).all(|length| decode(&bytes[..length]).is_none()));
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(decode(&[&[FORM + 1], &bytes[1..]].concat()), None);
    }

    #[test]
    fn the_order_of_names_is_no_other_question() {
        let mut other = question();
        other.inputs.reverse();
        other.wanted.reverse();
        other.parameters.reverse();
        assert_eq!(other.digest(), question().digest());
    }

    #[test]
    fn any_other_content_is_another_question() {
        let changes: [fn(&mut Question); 6] = [
            |question| question.inputs[0].bytes[3] = 0,
            |question| question.inputs[0].shape = vec![2, 1],
            |question| question.inputs[0].data_type = DataType::Int32,
            |question| question.inputs[0].name = "logit".to_owned(),
            |question| question.parameters[0].1 = Value::Double(3.0),
            |question| question.wanted.truncate(1),
        ];
        for change in changes {
            let mut other = question();
            change(&mut other);
            assert_ne!(other.clone().digest(), question().digest(), "{other:?}");
        }
    }

    #[test]
    fn keys_tell_models_apart() {
        let key = |models: &[&str]| key(&models.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &[7; 32]);
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["a"]).len(), "answer/".len() + 64);
    }

    #[test]
    fn tickets_are_spread() {
        let below = (0..1000_u32).filter(|user| ticket(&user.to_le_bytes()) < 10).count();
        assert!((70..130).contains(&below), "{below} of 1000 are in the first tenth");
    }
}
