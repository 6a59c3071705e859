//! `--http-restricted-api` and `--grpc-restricted-protocol`: a category answers only those who send a secret header.
//!
//! Format and texts are Triton's, as are the startup errors. The secret is compared in constant time.

use http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq as _;

use crate::Category;

/// What gRPC clients write in front of the key of a restriction.
const METADATA_PREFIX: &str = "triton-grpc-protocol-";

/// Whose restrictions they are; each has its own, and words of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    Http,
    Grpc,
}

/// The secret headers of one surface, by category.
#[derive(Clone, Debug)]
pub struct Restrictions {
    surface: Surface,
    by_category: [Option<Restriction>; Category::COUNT],
}

#[derive(Clone, Debug)]
pub(crate) struct Restriction {
    header: HeaderName,
    value: Vec<u8>,
}

/// Why a restriction of the command line is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestrictionError {
    #[error("{flag} option format is '<config name>:<setting>=<value>'. Got {group}", flag = surface.flag())]
    Format { surface: Surface, group: String },
    #[error("unknown restricted {noun} '{name}'; known are {known}", noun = surface.noun())]
    Unknown { surface: Surface, name: String, known: String },
    #[error("restricted {noun} '{category}' can not be specified in multiple config groups",
        noun = surface.noun(), category = category.name())]
    Repeated { surface: Surface, category: Category },
    #[error("{flag}={group}: '{key}' cannot be the name of a header", flag = surface.flag())]
    Header { surface: Surface, group: String, key: String },
}

// === impl Surface ===

impl Surface {
    /// The flag that restricts it.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Http => "--http-restricted-api",
            Self::Grpc => "--grpc-restricted-protocol",
        }
    }

    /// What Triton calls one part of it.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Http => "api",
            Self::Grpc => "protocol",
        }
    }

    /// The category of that name, when this surface has anything in it.
    fn category(self, name: &str) -> Result<Category, RestrictionError> {
        // Metrics have a port of their own, which speaks HTTP.
        let known = Category::ALL.into_iter().filter(|known| self == Self::Http || *known != Category::Metrics);
        known.clone().find(|known| known.name() == name).ok_or_else(|| RestrictionError::Unknown {
            surface: self,
            name: name.to_owned(),
            known: known.map(Category::name).collect::<Vec<_>>().join(", "),
        })
    }

    fn header(self, key: &str) -> Option<HeaderName> {
        let name = match self {
            Self::Http => key.to_owned(),
            Self::Grpc => format!("{METADATA_PREFIX}{key}"),
        };
        name.parse().ok()
    }
}

// === impl Restrictions ===

impl Restrictions {
    /// Nothing is restricted.
    pub fn none(surface: Surface) -> Self {
        Self { surface, by_category: Default::default() }
    }

    /// Reads groups of the form `category[,category]:key=value`.
    ///
    /// # Errors
    /// The form, a category that is unknown or in two groups, a key that no header can have.
    pub fn parse(surface: Surface, groups: &[String]) -> Result<Self, RestrictionError> {
        let mut restrictions = Self::none(surface);
        for group in groups {
            restrictions.add(group)?;
        }
        Ok(restrictions)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_category.iter().all(Option::is_none)
    }

    pub(crate) const fn surface(&self) -> Surface {
        self.surface
    }

    /// The header that `headers` would need for the category and lacks.
    pub(crate) fn missing(&self, category: Category, headers: &HeaderMap) -> Option<&HeaderName> {
        let restriction = self.by_category.get(category.index())?.as_ref()?;
        (!restriction.is_met(headers)).then_some(&restriction.header)
    }

    fn add(&mut self, group: &str) -> Result<(), RestrictionError> {
        let surface = self.surface;
        let (names, setting) = group.split_once(':').unwrap_or((group, ""));
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        if names.is_empty() || key.is_empty() || value.is_empty() {
            return Err(RestrictionError::Format { surface, group: group.to_owned() });
        }
        let bad_key = || RestrictionError::Header { surface, group: group.to_owned(), key: key.to_owned() };
        let restriction =
            Restriction { header: surface.header(key).ok_or_else(bad_key)?, value: value.as_bytes().to_vec() };
        for name in names.split(',') {
            let category = surface.category(name)?;
            match self.by_category.get_mut(category.index()) {
                Some(slot @ None) => *slot = Some(restriction.clone()),
                _ => return Err(RestrictionError::Repeated { surface, category }),
            }
        }
        Ok(())
    }
}

// === impl Restriction ===

impl Restriction {
    /// One header, once, with the very value.
    fn is_met(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.header).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.as_bytes().ct_eq(&self.value).into(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
