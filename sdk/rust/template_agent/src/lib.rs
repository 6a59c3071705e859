//! A repository agent that lets no model be loaded whose folder lacks a file.

use nereid_sdk::{AgentAction, AgentModel, AgentPlace, Error, RepositoryAgent, export_agent, files};

/// What the file is called unless the agent's entry says otherwise.
const FILE: &str = "LICENCE";

struct Double;

impl RepositoryAgent for Double {
    fn act(action: AgentAction, model: &AgentModel) -> Result<AgentPlace, Error> {
        if action != AgentAction::Load {
            return Ok(AgentPlace::AsItIs);
        }
        // The `parameters` of the agent's entry in the model's config.pbtxt.
        let file = model.parameters.iter().find(|(key, _)| key == "file").map_or(FILE, |(_, value)| value);
        let path = format!("/model/{file}");
        match files::read(&path) {
            Ok(_) => Ok(AgentPlace::AsItIs),
            Err(error) => Err(Error::permission(format!("the model's folder has no readable '{file}': {error}"))),
        }
    }
}

export_agent!(Double);
