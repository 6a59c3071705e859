//! The `data` of a JSON input, flat or nested, into the memory of its tensor.
//!
//! Costs: one allocation of exactly the tensor's size, one pass over the text, no intermediate values. Memory is taken
//! only after the text is known to be long enough for that many elements, so that a shape cannot ask for more than a
//! small multiple of the body.

use std::{fmt, slice};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use nereid_inference::InferError;
use nereid_tensor::{Buffer, BufferMut, DataType};

use super::{
    numbers::{BoolByte, Number},
    scalar::unparsable,
};

/// Arrays inside arrays, Triton's number. It keeps the parser's own recursion far from the end of the stack.
pub const NESTING_MAX: usize = 100;

/// What the text is to become.
pub(crate) struct Target<'a> {
    pub(crate) input_name: &'a str,
    pub(crate) data_type: DataType,
    pub(crate) elements: usize,
}

/// Where elements go, in row-major order.
trait Sink {
    fn boolean(&mut self, value: bool) -> Result<(), InferError>;
    fn uint(&mut self, value: u64) -> Result<(), InferError>;
    fn int(&mut self, value: i64) -> Result<(), InferError>;
    fn double(&mut self, value: f64) -> Result<(), InferError>;
    fn text(&mut self, value: &str) -> Result<(), InferError>;
    /// A null or an object.
    fn other(&mut self) -> Result<(), InferError>;
    fn too_deep(&self) -> InferError;
}

struct NumberSink<'s, T> {
    slots: slice::IterMut<'s, T>,
}

struct BytesSink {
    encoded: Vec<u8>,
}

/// One value at some depth, and the error that serde cannot carry.
struct Nested<'s, S> {
    sink: &'s mut S,
    failure: &'s mut Option<InferError>,
    depth: usize,
}

/// Parses `text`, the array under `data`.
///
/// # Errors
/// The texts of Triton's reader for elements of the wrong type, too few, too many, or too deep; FP16 and BF16.
pub(crate) fn parse_elements(text: &str, target: &Target<'_>) -> Result<Buffer, InferError> {
    if !text.starts_with('[') {
        return Err(unparsable("data", "attempt to access JSON non-array as array"));
    }
    parse_value(text, target)
}

/// As [`parse_elements`], and one element may stand without an array around it.
pub(crate) fn parse_value(text: &str, target: &Target<'_>) -> Result<Buffer, InferError> {
    match target.data_type {
        DataType::Bool => parse_numbers::<BoolByte>(text, target),
        DataType::Uint8 => parse_numbers::<u8>(text, target),
        DataType::Uint16 => parse_numbers::<u16>(text, target),
        DataType::Uint32 => parse_numbers::<u32>(text, target),
        DataType::Uint64 => parse_numbers::<u64>(text, target),
        DataType::Int8 => parse_numbers::<i8>(text, target),
        DataType::Int16 => parse_numbers::<i16>(text, target),
        DataType::Int32 => parse_numbers::<i32>(text, target),
        DataType::Int64 => parse_numbers::<i64>(text, target),
        DataType::Fp32 => parse_numbers::<f32>(text, target),
        DataType::Fp64 => parse_numbers::<f64>(text, target),
        DataType::Bytes => parse_byte_strings(text),
        DataType::Fp16 | DataType::Bf16 => Err(InferError::invalid_argument(format!(
            "receiving {} data via JSON is not supported. Please use the binary data format for input {}",
            target.data_type, target.input_name
        ))),
    }
}

fn too_few() -> InferError {
    InferError::internal("Failed to parse 'data' field: shape does not match true shape")
}

fn parse_numbers<T: Number>(text: &str, target: &Target<'_>) -> Result<Buffer, InferError> {
    // n elements take at least n characters and n - 1 commas; the two brackets are missing around a bare element.
    if target.elements > text.len().div_ceil(2) {
        return Err(too_few());
    }
    let mut buffer = BufferMut::zeroed(target.elements * size_of::<T>());
    let mut sink = NumberSink { slots: bytemuck::cast_slice_mut::<u8, T>(buffer.as_mut_slice()).iter_mut() };
    walk(text, &mut sink)?;
    match sink.slots.len() {
        0 => Ok(buffer.freeze()),
        _ => Err(too_few()),
    }
}

fn parse_byte_strings(text: &str) -> Result<Buffer, InferError> {
    let mut sink = BytesSink { encoded: Vec::with_capacity(text.len()) };
    walk(text, &mut sink)?;
    Ok(sink.encoded.into())
}

fn walk<S: Sink>(text: &str, sink: &mut S) -> Result<(), InferError> {
    let mut failure = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = Nested { sink, failure: &mut failure, depth: 0 }.deserialize(&mut deserializer);
    match (failure, outcome) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(InferError::internal(format!("failed to parse the request JSON buffer: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

// === impl NumberSink ===

impl<T: Number> NumberSink<'_, T> {
    fn push(&mut self, value: Result<T, InferError>) -> Result<(), InferError> {
        let too_many = || unparsable("data", "Shape does not match true shape of 'data' field");
        let slot = self.slots.next().ok_or_else(too_many)?;
        *slot = value?;
        Ok(())
    }
}

impl<T: Number> Sink for NumberSink<'_, T> {
    fn boolean(&mut self, value: bool) -> Result<(), InferError> {
        self.push(T::from_bool(value))
    }

    fn uint(&mut self, value: u64) -> Result<(), InferError> {
        self.push(T::from_uint(value))
    }

    fn int(&mut self, value: i64) -> Result<(), InferError> {
        self.push(T::from_int(value))
    }

    fn double(&mut self, value: f64) -> Result<(), InferError> {
        self.push(T::from_double(value))
    }

    fn text(&mut self, _: &str) -> Result<(), InferError> {
        self.other()
    }

    fn other(&mut self) -> Result<(), InferError> {
        self.push(Err(unparsable("data", T::WRONG_TYPE)))
    }

    fn too_deep(&self) -> InferError {
        InferError::invalid_argument(format!(
            "Unable to parse 'data': JSON nesting depth exceeds maximum allowed limit ({NESTING_MAX})"
        ))
    }
}

// === impl BytesSink ===

impl Sink for BytesSink {
    fn boolean(&mut self, _: bool) -> Result<(), InferError> {
        self.other()
    }

    fn uint(&mut self, _: u64) -> Result<(), InferError> {
        self.other()
    }

    fn int(&mut self, _: i64) -> Result<(), InferError> {
        self.other()
    }

    fn double(&mut self, _: f64) -> Result<(), InferError> {
        self.other()
    }

    fn text(&mut self, value: &str) -> Result<(), InferError> {
        let length = u32::try_from(value.len());
        let length = length.map_err(|_| unparsable("data", "a string of 4 GiB or more"))?;
        self.encoded.extend_from_slice(&length.to_le_bytes());
        self.encoded.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn other(&mut self) -> Result<(), InferError> {
        let text = "Unable to parse JSON bytes array: attempt to access JSON non-string as string";
        Err(InferError::internal(text))
    }

    fn too_deep(&self) -> InferError {
        InferError::invalid_argument(format!("JSON nesting depth exceeds maximum allowed limit ({NESTING_MAX})"))
    }
}

// === impl Nested ===

impl<S: Sink> Nested<'_, S> {
    fn store<E: Error>(self, outcome: Result<(), InferError>) -> Result<(), E> {
        outcome.map_err(|error| {
            *self.failure = Some(error);
            E::custom("")
        })
    }
}

impl<'de, S: Sink> DeserializeSeed<'de> for Nested<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth >= NESTING_MAX {
            let failure = self.sink.too_deep();
            return self.store(Err(failure));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Nested<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element or an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { sink, failure, depth } = self;
        while elements.next_element_seed(Nested { sink, failure, depth: depth + 1 })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        let outcome = self.sink.boolean(value);
        self.store(outcome)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let outcome = self.sink.uint(value);
        self.store(outcome)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let outcome = self.sink.int(value);
        self.store(outcome)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let outcome = self.sink.double(value);
        self.store(outcome)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let outcome = self.sink.text(value);
        self.store(outcome)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let outcome = self.sink.other();
        self.store(outcome)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        let outcome = self.sink.other();
        self.store(outcome)
    }
}
