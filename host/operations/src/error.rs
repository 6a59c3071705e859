//! Why an operation could not be done, for the author of the plugin that asked.

use std::fmt::Display;

use thiserror::Error;

/// What is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An argument: this call can never succeed.
    Argument,
    /// The limit on the memory or the time that one call may use.
    Limit,
}

/// A refusal. The text begins with the operation, and says which argument, what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{operation}: {text}")]
pub struct OperationError {
    operation: &'static str,
    fault: Fault,
    text: String,
}

// === impl OperationError ===

impl OperationError {
    pub(crate) fn argument(operation: &'static str, text: impl Display) -> Self {
        Self { operation, fault: Fault::Argument, text: text.to_string() }
    }

    pub(crate) fn limit(operation: &'static str, text: impl Display) -> Self {
        Self { operation, fault: Fault::Limit, text: text.to_string() }
    }

    /// What is to blame.
    pub fn fault(&self) -> Fault {
        self.fault
    }
}
