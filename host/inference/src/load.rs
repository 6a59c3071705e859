//! What a request to load a model may bring along instead of what lies in the repository.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Replacements for one load; empty for a load from the repository as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOverrides {
    /// The whole configuration as JSON, in place of `config.pbtxt`.
    pub config: Option<String>,
    /// Files in place of the model's directory, by the path that the client wrote: untrusted.
    pub files: BTreeMap<String, Bytes>,
    /// The files are laid over those that the model is loaded from now, which stay what they are otherwise; and so does
    /// its configuration, without one.
    pub overlay: bool,
    /// Who asks, for the model's history.
    pub requested_by: String,
}

// === impl LoadOverrides ===

impl LoadOverrides {
    /// Whether the repository alone decides.
    pub fn is_empty(&self) -> bool {
        self.config.is_none() && self.files.is_empty()
    }
}
