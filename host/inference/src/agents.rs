//! The port to repository agents: whoever is asked before a model is loaded, and told what became of it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{InferError, config::RepositoryAgent};

/// A model that names agents in its configuration.
#[derive(Clone, Debug)]
pub struct AgentedModel {
    /// As the repository knows it, namespace included.
    pub name: String,
    /// Its directory in the repository.
    pub directory: PathBuf,
    /// Its configuration as written, as JSON.
    pub config: String,
    /// In the order in which they are asked.
    pub agents: Vec<RepositoryAgent>,
}

/// Asks agents. May take seconds; blocks.
pub trait RepositoryAgents: Send + Sync {
    /// Asks every agent whether the model may be loaded, and from where. Those that were asked before one refused are told.
    ///
    /// # Errors
    /// An agent refuses, fails, or is not there; which, and why.
    fn begin(&self, model: AgentedModel) -> Result<Arc<dyn AgentedLoad>, InferError>;
}

/// A load that agents have agreed to. Dropping it after it was [completed](Self::completed) tells them that the model is gone, and
/// removes what they made.
pub trait AgentedLoad: Send + Sync + fmt::Debug {
    /// What the model is loaded from: its own directory, or what an agent made of it.
    fn directory(&self) -> &Path;

    /// Tells the agents that the model serves.
    fn completed(&self);

    /// Tells the agents that it does not.
    fn failed(&self);
}
