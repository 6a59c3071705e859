//! The options of an operation: taken by name, checked by type, and refused when nobody knows them.

use nereid_inference::InferError;

use crate::{
    bindings::nereid::plugin::types::{Error, Parameter, Value},
    convert,
};

/// Options that were given and not yet taken.
pub(super) struct Options {
    operation: &'static str,
    given: Vec<Parameter>,
    known: Vec<&'static str>,
    /// The first thing that was wrong.
    wrong: Option<String>,
}

// === impl Options ===

impl Options {
    pub(super) fn of(operation: &'static str, given: Vec<Parameter>) -> Self {
        Self { operation, given, known: Vec::new(), wrong: None }
    }

    /// A boolean; false unless it is given.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.flag_or(name, false)
    }

    /// A boolean; `otherwise` unless it is given.
    pub(super) fn flag_or(&mut self, name: &'static str, otherwise: bool) -> bool {
        let taken = self.take(name, "a boolean", |value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        });
        taken.unwrap_or(otherwise)
    }

    /// A whole number that is not negative.
    pub(super) fn count(&mut self, name: &'static str) -> Option<u64> {
        self.take(name, "a whole number from 0 on", |value| match value {
            Value::Int(value) => u64::try_from(*value).ok(),
            Value::Uint(value) => Some(*value),
            _ => None,
        })
    }

    pub(super) fn number(&mut self, name: &'static str) -> Option<f64> {
        self.take(name, "a number", |value| match value {
            Value::Double(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            Value::Uint(value) => Some(*value as f64),
            _ => None,
        })
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.take(name, "a text", |value| match value {
            Value::Text(value) => Some(value.clone()),
            _ => None,
        })
    }

    /// Of two options of one name the later counts, as for all parameters.
    fn take<T>(&mut self, name: &'static str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        self.known.push(name);
        let mut found = None;
        let wrong = &mut self.wrong;
        self.given.retain(|parameter| {
            if parameter.name != name {
                return true;
            }
            found = read(&parameter.value);
            if found.is_none() {
                wrong.get_or_insert_with(|| format!("option '{name}' is {:?}, expected {expected}", parameter.value));
            }
            false
        });
        found
    }

    /// Whether every option was known and of its type.
    pub(super) fn finish(self) -> Result<(), Error> {
        if let Some(wrong) = &self.wrong {
            return Err(self.refusal(wrong));
        }
        match self.given.first() {
            None => Ok(()),
            Some(stranger) => {
                let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
                let name = convert::shortened(&stranger.name);
                Err(self.refusal(format!("there is no option '{name}', expected one of: {known}")))
            }
        }
    }

    pub(super) fn refusal(&self, text: impl std::fmt::Display) -> Error {
        convert::error(InferError::invalid_argument(format!("{}: {text}", self.operation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: Value) -> Vec<Parameter> {
        vec![Parameter { name: name.to_owned(), value }]
    }

    #[test]
    fn an_option_that_is_unknown_or_of_another_type_is_refused() {
        let mut options = Options::of("cast", given("rounding", Value::Boolean(true)));
        assert!(!options.flag("round"));
        let error = options.finish().unwrap_err();
        assert_eq!(error.message, "cast: there is no option 'rounding', expected one of: round");
        let mut options = Options::of("cast", given("round", Value::Int(1)));
        options.flag("round");
        assert!(options.finish().unwrap_err().message.ends_with("expected a boolean"));
    }

    #[test]
    fn of_two_options_of_one_name_the_later_counts() {
        let mut twice = given("kept-max", Value::Int(3));
        twice.extend(given("kept-max", Value::Uint(7)));
        let mut options = Options::of("x", twice);
        assert_eq!(options.count("kept-max"), Some(7));
        assert!(options.finish().is_ok());
    }
}
