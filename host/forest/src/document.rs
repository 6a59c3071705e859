//! JSON and UBJSON documents as one tree of values, made without recursion and within limits.
//!
//! Arrays of numbers, of which models mostly consist, are kept as such: eight bytes per number. `true` and `false` inside
//! an array count as 1 and 0, which is how XGBoost's versions differ among themselves.

mod builder;
mod json;
mod ubjson;

use crate::ForestError;

pub(crate) use self::{json::parse as parse_json, ubjson::parse as parse_ubjson};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// An array in which there is nothing but numbers; an empty one too.
    Numbers(Vec<f64>),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// An object, and its way from the root for errors.
#[derive(Clone, Debug)]
pub(crate) struct Object<'a> {
    path: String,
    members: &'a [(String, Value)],
}

// === impl Value ===

impl Value {
    /// The root of a document, which must be an object.
    pub(crate) fn root(&self) -> Result<Object<'_>, ForestError> {
        match self {
            Self::Object(members) => Ok(Object { path: String::new(), members }),
            other => Err(ForestError::syntax(0, format!("expected an object, found {}", other.kind()))),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Numbers(_) => "an array of numbers",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// An error about a member.
    pub(crate) fn error(&self, name: &str, problem: impl Into<String>) -> ForestError {
        ForestError::field(self.path_of(name), problem)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Names of all members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// The member, unless it is missing.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    fn wanted(&self, name: &str, kind: &str) -> Result<&'a Value, ForestError> {
        self.get(name).ok_or_else(|| self.error(name, format!("is missing, expected {kind}")))
    }

    fn wrong(&self, name: &str, kind: &str, value: &Value) -> ForestError {
        self.error(name, format!("is {}, expected {kind}", value.kind()))
    }

    pub(crate) fn object(&self, name: &str) -> Result<Object<'a>, ForestError> {
        match self.wanted(name, "an object")? {
            Value::Object(members) => Ok(Object { path: self.path_of(name), members }),
            other => Err(self.wrong(name, "an object", other)),
        }
    }

    /// The objects of an array.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Object<'a>>, ForestError> {
        let list = match self.wanted(name, "an array of objects")? {
            Value::List(list) => list.as_slice(),
            Value::Numbers(numbers) if numbers.is_empty() => &[],
            other => return Err(self.wrong(name, "an array of objects", other)),
        };
        let object = |(index, value): (usize, &'a Value)| match value {
            Value::Object(members) => Ok(Object { path: format!("{}[{index}]", self.path_of(name)), members }),
            other => Err(self.wrong(name, "an array of objects", other)),
        };
        list.iter().enumerate().map(object).collect()
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, ForestError> {
        match self.wanted(name, "a text")? {
            Value::Text(text) => Ok(text),
            other => Err(self.wrong(name, "a text", other)),
        }
    }

    pub(crate) fn numbers(&self, name: &str) -> Result<&'a [f64], ForestError> {
        match self.wanted(name, "an array of numbers")? {
            Value::Numbers(numbers) => Ok(numbers),
            other => Err(self.wrong(name, "an array of numbers", other)),
        }
    }

    /// A number, also one that is written as a text, as XGBoost writes its parameters.
    pub(crate) fn number(&self, name: &str) -> Result<f64, ForestError> {
        match self.wanted(name, "a number")? {
            Value::Number(number) => Ok(*number),
            Value::Text(text) => {
                text.trim().parse().map_err(|_| self.error(name, format!("is '{text}', expected a number")))
            }
            other => Err(self.wrong(name, "a number", other)),
        }
    }

    /// A whole number from 0.
    pub(crate) fn count(&self, name: &str) -> Result<usize, ForestError> {
        let number = self.number(name)?;
        whole(number).ok_or_else(|| self.error(name, format!("is {number}, expected a whole number from 0")))
    }

    /// A count that may be left out.
    pub(crate) fn count_or(&self, name: &str, default: usize) -> Result<usize, ForestError> {
        if self.get(name).is_some() { self.count(name) } else { Ok(default) }
    }
}

/// A number as an index or a count; 2^53 is where floats stop to count.
pub(crate) fn whole(number: f64) -> Option<usize> {
    ((0.0..=9e15).contains(&number) && number.fract() == 0.0).then_some(number as usize)
}
