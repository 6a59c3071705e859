//! A generate request: a flat JSON object whose keys are the model's inputs and, what is left, request parameters.
//!
//! Promises: values are parsed straight into typed memory. Shapes are deduced from the number of elements by Triton's
//! rule: fixed dimensions divide it, the innermost open one takes the rest, other open ones, that of the batch among
//! them, become 1. Whether all inputs are there is the signature's matter.

use std::{borrow::Cow, fmt, marker::PhantomData, time::Instant};

use nereid_inference::{InferError, InferRequest, NamedTensor, Signature, TensorSpec};
use nereid_tensor::{Shape, Tensor};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{
    elements::{Target, parse_value},
    request::tensor_error,
    scalar::{Scalar, Text},
    wire::parse_json,
};

/// Keys of one object: more than a model has inputs and options, few enough for a search by name that is linear.
const MEMBERS_MAX: usize = 1024;

/// The members of one object, delimited and not yet parsed.
struct Members<'a>(SmallVec<[(Cow<'a, str>, &'a RawValue); 4]>);

/// Carries the lifetime of what it makes, because `SmallVec` is invariant.
struct MembersVisitor<'a>(PhantomData<&'a ()>);

/// A request while its members are sorted into inputs and parameters.
struct GenerateReader<'a> {
    signature: &'a Signature,
    request: InferRequest,
}

/// Decodes a body of `generate` or `generate_stream`.
///
/// # Errors
/// Triton's texts; `Internal` for what its JSON reader refuses, `InvalidArgument` for the rest.
pub fn decode_generate_request(
    body: &[u8],
    signature: &Signature,
    received: Instant,
) -> Result<InferRequest, InferError> {
    let Members(members) = parse_json(body)?;
    let mut request = InferRequest::new(Vec::with_capacity(signature.inputs.len()));
    request.received = received;
    if let Some((_, id)) = members.iter().find(|(name, _)| name == "id") {
        request.id = parse_json::<Scalar<'_>>(id.get().as_bytes())?.text("id")?.to_owned();
    }
    let mut reader = GenerateReader { signature, request };
    for (name, value) in members {
        match &*name {
            "id" => {}
            "parameters" => reader.read_parameters(value)?,
            _ => reader.read_member(name, value)?,
        }
    }
    Ok(reader.request)
}

/// The shape of `elements` elements; `None` when they do not fill the dimensions.
fn deduce_shape(spec: &TensorSpec, batched: bool, elements: u64) -> Option<Shape> {
    let mut dims = spec.wire_dims(batched);
    let mut rest = elements;
    for fixed in dims.iter().filter_map(|dim| u64::try_from(*dim).ok()) {
        let (share, left_over) = (rest.checked_div(fixed)?, rest.checked_rem(fixed)?);
        if left_over > 0 {
            return None;
        }
        rest = share;
    }
    for open in dims.iter_mut().rev().filter(|dim| **dim < 0) {
        *open = i64::try_from(std::mem::replace(&mut rest, 1)).ok()?;
    }
    (rest == 1).then(|| Shape::from_signed(&dims).ok()).flatten()
}

/// How many elements a value has: the members of an array, 1 for everything else.
fn count_elements(value: &RawValue) -> Result<usize, InferError> {
    if !value.get().starts_with('[') {
        return Ok(1);
    }
    // An `IgnoredAny` has no size, hence neither has a vector of them.
    parse_json::<Vec<IgnoredAny>>(value.get().as_bytes()).map(|elements| elements.len())
}

// === impl GenerateReader ===

impl GenerateReader<'_> {
    /// The object `parameters`: its members count as if they stood beside it.
    fn read_parameters(&mut self, object: &RawValue) -> Result<(), InferError> {
        if self.signature.input("parameters").is_some() {
            let text = "Keyword 'parameters' for nested schema also given as input tensor name";
            return Err(InferError::invalid_argument(text));
        }
        if !object.get().starts_with('{') {
            let text = "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object";
            return Err(InferError::internal(text));
        }
        let Members(members) = parse_json(object.get().as_bytes())?;
        members
            .into_iter()
            .try_for_each(|(name, value)| self.read_member(name, value))
            .map_err(|error| error.prefixed("Converting keyword: 'parameters': "))
    }

    fn read_member(&mut self, name: Cow<'_, str>, value: &RawValue) -> Result<(), InferError> {
        let Some(spec) = self.signature.input(&name) else {
            let value = parse_json::<Scalar<'_>>(value.get().as_bytes())?.into_parameter(&name)?;
            self.request.parameters.insert(name, value);
            return Ok(());
        };
        if self.request.inputs.iter().any(|input| input.name == spec.name) {
            return Err(InferError::invalid_argument(format!("input '{name}' already exists in request")));
        }
        let tensor = self.read_tensor(spec, value)?;
        self.request.inputs.push(NamedTensor { name: spec.name.clone(), tensor });
        Ok(())
    }

    fn read_tensor(&self, spec: &TensorSpec, value: &RawValue) -> Result<Tensor, InferError> {
        let input_name = &*spec.name;
        let elements = count_elements(value)?;
        let misfit = || {
            let text = format!("The schema can not convert input '{input_name}' to tensor with proper shape");
            InferError::invalid_argument(text)
        };
        let shape = deduce_shape(spec, self.signature.max_batch_size > 0, elements as u64).ok_or_else(misfit)?;
        let buffer = parse_value(value.get(), &Target { input_name, data_type: spec.data_type, elements })?;
        Tensor::new(spec.data_type, shape, buffer).map_err(|error| {
            tensor_error(input_name, &self.signature.model_name, &error).prefixed(&self.request.error_prefix())
        })
    }
}

// === impl Members ===

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut entries = SmallVec::new();
        while let Some((Text(name), value)) = members.next_entry::<Text<'de>, &'de RawValue>()? {
            if entries.len() == MEMBERS_MAX {
                return Err(de::Error::custom(format_args!("an object of more than {MEMBERS_MAX} members")));
            }
            entries.push((name, value));
        }
        Ok(Members(entries))
    }
}

#[cfg(test)]
mod tests;
