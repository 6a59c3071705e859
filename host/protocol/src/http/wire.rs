//! The JSON part of an infer request, as it stands on the wire.
//!
//! One pass over the text. `data` is only delimited here; it is parsed once the type and the shape are known.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use nereid_inference::InferError;

use super::scalar::{Object, Scalar, unparsable};

/// The whole JSON part. Unknown members are passed over, as Triton does.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestHeader<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub(crate) parameters: Option<Object<'a>>,
    #[serde(borrow)]
    pub(crate) inputs: Option<Vec<InputHeader<'a>>>,
    #[serde(borrow)]
    pub(crate) outputs: Option<Vec<OutputHeader<'a>>>,
}

/// One member of `inputs`.
#[derive(Debug, Deserialize)]
pub(crate) struct InputHeader<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub(crate) datatype: Option<Scalar<'a>>,
    pub(crate) shape: Option<Dimensions>,
    #[serde(borrow)]
    pub(crate) parameters: Option<Object<'a>>,
    #[serde(borrow)]
    pub(crate) data: Option<&'a RawValue>,
}

/// One member of `outputs`.
#[derive(Debug, Deserialize)]
pub(crate) struct OutputHeader<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub(crate) parameters: Option<Object<'a>>,
}

/// A `shape`, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Dimensions(Result<SmallVec<[u64; 6]>, &'static str>);

struct DimensionsVisitor;

/// Reads the JSON part of a request or of any other body.
///
/// # Errors
/// Malformed JSON, or a structure of the wrong type; kind `Internal`, as Triton answers it.
pub(crate) fn parse_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, InferError> {
    serde_json::from_slice(text)
        .map_err(|error| InferError::internal(format!("failed to parse the request JSON buffer: {error}")))
}

// === impl Dimensions ===

const NOT_AN_ARRAY: &str = "attempt to access JSON non-array as array";
const NOT_UNSIGNED: &str = "attempt to access JSON non-unsigned-integer as unsigned-integer";

impl Dimensions {
    /// The extents, outermost first.
    ///
    /// # Errors
    /// Not an array, or an element that is not a non-negative integer.
    pub(crate) fn into_extents(self) -> Result<SmallVec<[u64; 6]>, InferError> {
        self.0.map_err(|problem| unparsable("shape", problem))
    }
}

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DimensionsVisitor)
    }
}

impl<'de> Visitor<'de> for DimensionsVisitor {
    type Value = Dimensions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut extents = Ok(SmallVec::new());
        while let Some(element) = elements.next_element::<Scalar<'de>>()? {
            match (&mut extents, element) {
                (Ok(extents), Scalar::Uint(extent)) => extents.push(extent),
                (extents, _) => *extents = Err(NOT_UNSIGNED),
            }
        }
        Ok(Dimensions(extents))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Dimensions(Err(NOT_AN_ARRAY)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Dimensions(Err(NOT_AN_ARRAY)))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Dimensions(Err(NOT_AN_ARRAY)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Dimensions(Err(NOT_AN_ARRAY)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Dimensions(Err(NOT_AN_ARRAY)))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Dimensions(Err(NOT_AN_ARRAY)))
    }
}
