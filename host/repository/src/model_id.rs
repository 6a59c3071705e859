//! What tells one model from another: its name and, with namespacing, the repository that it lies in.
//!
//! Without namespacing there is no namespace anywhere, and an identifier is its name. Written out, an identifier is
//! `NAMESPACE::NAME`, as upstream writes it in its texts; no repository path contains the separator (`places.rs`
//! refuses it), so that two identifiers are never written alike.

use std::{fmt, sync::Arc};

use nereid_inference::{NAMESPACE_SEPARATOR, config::EnsembleStep};

/// One model of the repositories. Ordered by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModelId {
    pub(crate) name: Arc<str>,
    /// The repository's path as the operator wrote it.
    pub(crate) namespace: Option<Arc<str>>,
}

// === impl ModelId ===

impl ModelId {
    /// A model in no namespace: every one without namespacing; with it, one that lies in no repository.
    pub(crate) fn plain(name: &str) -> Self {
        Self { name: name.into(), namespace: None }
    }

    pub(crate) fn within(namespace: &str, name: &str) -> Self {
        Self { name: name.into(), namespace: Some(namespace.into()) }
    }

    /// The model that a step calls, whose namespace was filled in when the ensemble was prepared.
    pub(crate) fn of_step(step: &EnsembleStep) -> Self {
        match step.model_namespace.as_str() {
            "" => Self::plain(&step.model_name),
            namespace => Self::within(namespace, &step.model_name),
        }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}{NAMESPACE_SEPARATOR}")?;
        }
        f.write_str(&self.name)
    }
}
