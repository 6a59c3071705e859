//! What can be wrong with a forest's file, and where.

use thiserror::Error;

/// Why a file is no forest that can be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ForestError {
    /// The bytes are not of the format.
    #[error("byte {offset}: {problem}")]
    Syntax { offset: usize, problem: String },
    /// A field is missing, of the wrong kind, or has an impossible value.
    #[error("{field}: {problem}")]
    Field { field: String, problem: String },
    /// A tree cannot be walked.
    #[error("tree {tree}, node {node}: {problem}")]
    Node { tree: usize, node: usize, problem: String },
    /// The file is right, and is not served.
    #[error("{0}")]
    Unsupported(String),
}

// === impl ForestError ===

impl ForestError {
    pub(crate) fn syntax(offset: usize, problem: impl Into<String>) -> Self {
        Self::Syntax { offset, problem: problem.into() }
    }

    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }

    pub(crate) fn unsupported(problem: impl Into<String>) -> Self {
        Self::Unsupported(problem.into())
    }
}
