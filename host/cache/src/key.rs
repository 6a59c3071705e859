//! Which requests are the same: a 256-bit digest of everything that can change the answer.
//!
//! In it: model, version and generation; inputs by name (name, type, shape, bytes); parameters by name; requested outputs
//! in their order; the sequence that the request claims to belong to. Not in it: the client's id, priority, timeout, trace
//! and where outputs are to be written, none of which is to change an answer.
//!
//! Every field is written behind its length and every list behind its count, so that no two requests have the same text.
//! Costs one pass over the inputs, at a few gigabytes per second.

use std::fmt;

use nereid_inference::{InferRequest, ModelIdentity, NamedTensor, ParameterValue, SequenceFlags, SequenceId};
use smallvec::SmallVec;

/// Under what an answer is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; blake3::OUT_LEN]);

/// One generation of one model version, as a key of the hash: what it digests belongs to this generation alone.
#[derive(Clone)]
pub struct Generation([u8; blake3::KEY_LEN]);

/// Says what the digest is of, and changes with its form.
const DOMAIN: &[u8] = b"nereid response cache 1";

/// Inputs that are sorted without an allocation.
const INLINE_FIELDS: usize = 8;

// === impl CacheKey ===

impl CacheKey {
    /// The digest.
    pub fn as_bytes(&self) -> &[u8; blake3::OUT_LEN] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of_number(number: u64) -> Self {
        Self(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }
}

/// In hexadecimal.
impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

// === impl Generation ===

impl Generation {
    /// The generation that `mark` tells apart from all others of this version: a number that no other load gets, or a
    /// digest of all that the version is made of.
    pub fn new(model: &ModelIdentity, mark: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut text = Text(|bytes: &[u8]| {
            hasher.update(bytes);
        });
        text.field(DOMAIN);
        text.field(model.name.as_bytes());
        text.number(model.version);
        text.field(mark);
        Self(*hasher.finalize().as_bytes())
    }

    /// The key of a request. Its inputs must be bytes that nobody changes any more.
    pub fn key(&self, request: &InferRequest) -> CacheKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        write_request(request, |bytes| {
            hasher.update(bytes);
        });
        CacheKey(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation({})", CacheKey(self.0))
    }
}

/// What is digested, piece by piece.
struct Text<W>(W);

fn write_request(request: &InferRequest, write: impl FnMut(&[u8])) {
    let mut text = Text(write);
    text.inputs(&request.inputs);
    let mut parameters: SmallVec<[_; INLINE_FIELDS]> = request.parameters.iter().collect();
    parameters.sort_unstable_by_key(|(name, _)| *name);
    text.count(parameters.len());
    for (name, value) in parameters {
        text.field(name.as_bytes());
        text.parameter(value);
    }
    text.count(request.requested_outputs.len());
    for output in &request.requested_outputs {
        text.field(output.as_bytes());
    }
    text.sequence(request.sequence.as_ref());
}

// === impl Text ===

impl<W: FnMut(&[u8])> Text<W> {
    fn number(&mut self, number: u64) {
        (self.0)(&number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    fn field(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        (self.0)(bytes);
    }

    /// Each kind has a tag, and what follows it is as long as the kind says, or says its length.
    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        (self.0)(&[tag]);
        self.field(bytes);
    }

    fn inputs(&mut self, inputs: &[NamedTensor]) {
        let mut inputs: SmallVec<[&NamedTensor; INLINE_FIELDS]> = inputs.iter().collect();
        inputs.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.count(inputs.len());
        for NamedTensor { name, tensor } in inputs {
            self.field(name.as_bytes());
            self.field(tensor.data_type().name().as_bytes());
            self.count(tensor.shape().len());
            tensor.shape().iter().for_each(|dimension| self.number(*dimension));
            self.field(tensor.buffer().as_slice());
        }
    }

    fn parameter(&mut self, value: &ParameterValue) {
        match value {
            ParameterValue::Bool(value) => self.tagged(0, &[u8::from(*value)]),
            ParameterValue::Int(value) => self.tagged(1, &value.to_le_bytes()),
            ParameterValue::Uint(value) => self.tagged(2, &value.to_le_bytes()),
            ParameterValue::Double(value) => self.tagged(3, &value.to_bits().to_le_bytes()),
            ParameterValue::String(value) => self.tagged(4, value.as_bytes()),
        }
    }

    fn sequence(&mut self, sequence: Option<&SequenceFlags>) {
        let Some(SequenceFlags { id, start, end }) = sequence else { return self.tagged(0, &[]) };
        match id {
            SequenceId::Number(id) => self.tagged(1, &id.to_le_bytes()),
            SequenceId::Text(id) => self.tagged(2, id.as_bytes()),
        }
        (self.0)(&[u8::from(*start), u8::from(*end)]);
    }
}

#[cfg(test)]
mod tests;
