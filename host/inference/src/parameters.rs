//! Named scalars that travel with requests and responses; the protocol's `parameters` objects.

use smallvec::SmallVec;

/// Most requests carry none or one.
const INLINE_PARAMETERS: usize = 2;

/// One scalar of a `parameters` object.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
}

/// Scalars by name, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(SmallVec<[(String, ParameterValue); INLINE_PARAMETERS]>);

// === impl Parameters ===

impl Parameters {
    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Sets `name`, replacing what was there.
    pub fn insert(&mut self, name: impl Into<String>, value: ParameterValue) {
        let name = name.into();
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParameterValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, ParameterValue)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, ParameterValue)>>(entries: I) -> Self {
        let mut parameters = Self::default();
        for (name, value) in entries {
            parameters.insert(name, value);
        }
        parameters
    }
}
