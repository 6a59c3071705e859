//! The parts of the server that can be closed one by one. Names and division are Triton's; `metrics` is ours.

use std::str::FromStr;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_a_name_and_an_index_of_its_own() {
        for (index, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!((category.index(), category.name().parse()), (index, Ok(category)));
        }
        assert!("healthy".parse::<Category>().unwrap_err().starts_with("health, metadata, inference,"));
    }
}
