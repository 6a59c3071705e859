//! The parts of the server that can be closed one by one. Names and division are Triton's; `metrics` is ours.

use std::{fmt, str::FromStr};

/// One part. Every route and every RPC belongs to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    Health,
    Metadata,
    Inference,
    SharedMemory,
    ModelConfig,
    ModelRepository,
    Statistics,
    Trace,
    Logging,
    /// The metrics port, all of it.
    Metrics,
}

/// Any number of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(u16);

// === impl Category ===

impl Category {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// Every one, each at the index that it converts to.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Health,
        Self::Metadata,
        Self::Inference,
        Self::SharedMemory,
        Self::ModelConfig,
        Self::ModelRepository,
        Self::Statistics,
        Self::Trace,
        Self::Logging,
        Self::Metrics,
    ];

    /// The name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Metadata => "metadata",
            Self::Inference => "inference",
            Self::SharedMemory => "shared-memory",
            Self::ModelConfig => "model-config",
            Self::ModelRepository => "model-repository",
            Self::Statistics => "statistics",
            Self::Trace => "trace",
            Self::Logging => "logging",
            Self::Metrics => "metrics",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// The error is the list of names.
impl FromStr for Category {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|category| category.name() == text).ok_or_else(known)
    }
}

// === impl Categories ===

impl Categories {
    /// Every one, as files write it.
    pub const ALL_NAME: &str = "all";

    pub fn contains(self, category: Category) -> bool {
        self.0 & 1 << category.index() != 0
    }

    /// In the order of the categories.
    pub fn iter(self) -> impl Iterator<Item = Category> {
        Category::ALL.into_iter().filter(move |category| self.contains(*category))
    }

    /// Reads names, among which `all` stands for every one.
    ///
    /// # Errors
    /// A name is unknown; the text says which ones are not.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut categories = Self::default();
        for name in names {
            if name == Self::ALL_NAME {
                categories = Self::from_iter(Category::ALL);
                continue;
            }
            let category = name.parse().map_err(|known| format!("unknown category '{name}'; known are all, {known}"));
            categories = Self::from_iter(categories.iter().chain([category?]));
        }
        Ok(categories)
    }
}

impl FromIterator<Category> for Categories {
    fn from_iter<I: IntoIterator<Item = Category>>(categories: I) -> Self {
        Self(categories.into_iter().fold(0, |bits, category| bits | 1 << category.index()))
    }
}

/// Names with commas between them, or `all`.
impl fmt::Display for Categories {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::from_iter(Category::ALL) {
            return formatter.write_str(Self::ALL_NAME);
        }
        let names: Vec<_> = self.iter().map(Category::name).collect();
        formatter.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_categories_and_back() {
        let categories = Categories::from_names(["metrics", "health", "health"]).unwrap();
        assert_eq!(categories.to_string(), "health, metrics");
        assert!(categories.contains(Category::Metrics) && !categories.contains(Category::Inference));
        assert_eq!(Categories::from_names(["health", "all"]).unwrap().to_string(), "all");
        assert_eq!(Categories::default().iter().count(), 0);
        let error = Categories::from_names(["health", "infer"]).unwrap_err();
        assert!(error.starts_with("unknown category 'infer'; known are all, health, metadata,"), "{error}");
    }

    #[test]
    fn every_category_has_a_name_and_an_index_of_its_own() {
        for (index, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!((category.index(), category.name().parse()), (index, Ok(category)));
        }
        assert!("healthy".parse::<Category>().unwrap_err().starts_with("health, metadata, inference,"));
    }
}
