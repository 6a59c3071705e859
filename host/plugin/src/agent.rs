//! Repository agents: components that are asked when a model is loaded and unloaded.
//!
//! Every question is put to a fresh guest with grants of its own, because each is about another folder. It has no request: it can
//! neither call models nor servers, and is limited as any call is.

use std::{collections::BTreeMap, sync::Arc};

use nereid_inference::InferError;

use crate::{
    bindings::exports::nereid::plugin::agent::{Action, Place},
    plugin::Plugin,
    sandbox::{Sandbox, block_on},
};

/// What happens to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentAction {
    /// It is about to be loaded.
    Load,
    LoadComplete,
    LoadFail,
    Unload,
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct AgentTask<'a> {
    pub action: AgentAction,
    /// The model's name.
    pub model: &'a str,
    /// Its configuration as written, as JSON.
    pub config: &'a str,
    /// What the configuration says to this agent.
    pub parameters: &'a BTreeMap<String, String>,
}

/// Where the model's files are after a [`AgentAction::Load`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentPlace {
    AsItIs,
    /// In the folder that the agent was granted to write to.
    Replaced,
}

/// Puts a question to a fresh guest of the plugin. Blocks.
///
/// # Errors
/// The agent's own, or what became of the guest.
pub fn ask_agent(plugin: &Arc<Plugin>, task: &AgentTask<'_>) -> Result<AgentPlace, InferError> {
    let instance = Arc::from(plugin.spec.model.name.as_ref());
    let guest = block_on(Sandbox::start(plugin, &instance)).map_err(|failure| failure.error)?;
    Ok(match guest.act(plugin, task)? {
        Place::AsItIs => AgentPlace::AsItIs,
        Place::Replaced => AgentPlace::Replaced,
    })
}

// === impl AgentAction ===

impl AgentAction {
    pub(crate) fn to_host(self) -> Action {
        match self {
            Self::Load => Action::Load,
            Self::LoadComplete => Action::LoadComplete,
            Self::LoadFail => Action::LoadFail,
            Self::Unload => Action::Unload,
        }
    }
}
