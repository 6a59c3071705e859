//! What the operator decides about the repository.

use std::path::PathBuf;

use crate::RepositoryLimits;

/// The word that names every model in [`RepositorySettings::load_models`].
pub(crate) const EVERY_MODEL: &str = "*";

/// Everything that a repository is told at its start.
#[derive(Clone, Debug)]
pub struct RepositorySettings {
    /// Directories with one directory per model; without namespaces, a model may be in one of them only.
    pub paths: Vec<PathBuf>,
    /// Models of one name in several directories are different models.
    pub has_namespaces: bool,
    pub control_mode: ControlMode,
    /// With [`ControlMode::Explicit`] and [`ControlMode::OnDemand`], the models to load at the start; `*` alone is all of them.
    pub load_models: Vec<String>,
    /// Lets backends fill in what a configuration leaves open.
    pub auto_complete: bool,
    /// The server is ready only when every model that should be is.
    pub strict_readiness: bool,
    /// Models loaded at the same time; at least one is.
    pub load_thread_count: usize,
    /// How often a version that failed to load is tried again at once.
    pub load_retry_count: usize,
    /// The file in `configs/` that is read in place of `config.pbtxt` by models that have it, without its extension.
    pub config_name: Option<String>,
    pub limits: RepositoryLimits,
}

/// Who decides which models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlMode {
    /// All of them, once, at the start.
    None,
    /// The directories: all of them at the start, and then what changes, whenever [`crate::Repository::poll`] looks.
    Poll,
    /// Whoever may call the load and unload requests.
    Explicit,
    /// The first request for each; see [`crate::OnDemand`].
    OnDemand,
}
