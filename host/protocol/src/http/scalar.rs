//! One scalar of a JSON object, and objects made of them: names, ids and `parameters`.
//!
//! A value of the wrong type is kept as what it is, so that the one who wants it can name the field in the error.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use smallvec::SmallVec;

use nereid_inference::{InferError, ParameterValue};

/// Keys of one `parameters` object. Clients send a handful; the limit keeps the search by name, which is linear, cheap.
pub const PARAMETERS_MAX: usize = 1024;

/// A JSON value, strings borrowed where they contain no escapes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Uint(u64),
    /// Negative; the others are [`Scalar::Uint`].
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    /// An array or an object, passed over.
    Nested,
}

/// Members of an object in the order of the body.
pub(crate) type Entries<'a> = SmallVec<[(Cow<'a, str>, Scalar<'a>); 2]>;

/// A flat object; `None` in place of entries when the value was not an object.
#[derive(Debug, Default)]
pub(crate) struct Object<'a> {
    entries: Option<Entries<'a>>,
}

/// A string, borrowed where it contains no escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

struct ScalarVisitor;
/// Carries the lifetime of what it makes, because `SmallVec` is invariant.
struct ObjectVisitor<'a>(PhantomData<&'a ()>);
struct TextVisitor;

/// The error of Triton's JSON reader: a field and what is wrong with it. Such errors are the server's, kind `Internal`.
pub(crate) fn unparsable(field: &str, problem: impl fmt::Display) -> InferError {
    InferError::internal(format!("Unable to parse '{field}': {problem}"))
}

/// The error for a member that is not there.
pub(crate) fn missing(field: &str) -> InferError {
    unparsable(field, format_args!("attempt to access non-existing object member '{field}'"))
}

// === impl Scalar ===

impl<'a> Scalar<'a> {
    /// The string, or the error that names `field`.
    pub(crate) fn text(&self, field: &str) -> Result<&str, InferError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(unparsable(field, "attempt to access JSON non-string as string")),
        }
    }

    /// The non-negative integer, or the error that names `field`.
    pub(crate) fn uint(&self, field: &str) -> Result<u64, InferError> {
        match self {
            Self::Uint(number) => Ok(*number),
            _ => Err(unparsable(field, "attempt to access JSON non-unsigned-integer as unsigned-integer")),
        }
    }

    /// The boolean, or the error that names `field`.
    pub(crate) fn boolean(&self, field: &str) -> Result<bool, InferError> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => Err(unparsable(field, "attempt to access JSON non-boolean as boolean")),
        }
    }

    /// The value as a parameter that the protocol does not reserve.
    ///
    /// # Errors
    /// Null, arrays and objects are no parameters; neither are integers beyond `i64`.
    pub(crate) fn into_parameter(self, name: &str) -> Result<ParameterValue, InferError> {
        let wrong = || {
            let text = format!("parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'.");
            InferError::invalid_argument(text)
        };
        match self {
            Self::Bool(value) => Ok(ParameterValue::Bool(value)),
            Self::Uint(value) => Ok(i64::try_from(value).map_or(ParameterValue::Uint(value), ParameterValue::Int)),
            Self::Int(value) => Ok(ParameterValue::Int(value)),
            Self::Double(value) => Ok(ParameterValue::Double(value)),
            Self::Text(value) => Ok(ParameterValue::String(value.into_owned())),
            Self::Null | Self::Nested => Err(wrong()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Uint(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(Scalar::Int(value), Scalar::Uint))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Double(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// Names and values in the order of the body.
    ///
    /// # Errors
    /// The value called `field` was not an object.
    pub(crate) fn into_entries(self, field: &str) -> Result<Entries<'a>, InferError> {
        self.entries.ok_or_else(|| unparsable(field, "attempt to access JSON non-object as object"))
    }

    /// The value under `name`; the first one when it is given twice.
    pub(crate) fn get(&self, name: &str) -> Option<&Scalar<'a>> {
        self.entries.iter().flatten().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for ObjectVisitor<'a> {
    type Value = Object<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut entries = SmallVec::new();
        while let Some((Text(name), value)) = members.next_entry()? {
            if entries.len() == PARAMETERS_MAX {
                return Err(de::Error::custom(format_args!("an object of more than {PARAMETERS_MAX} parameters")));
            }
            entries.push((name, value));
        }
        Ok(Object { entries: Some(entries) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        ScalarVisitor.visit_seq(elements).map(|_| Object::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Object::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Object::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Object::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Object::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Object::default())
    }
}

// === impl Text ===

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_owned())))
    }
}
