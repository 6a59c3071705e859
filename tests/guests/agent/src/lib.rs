//! A repository agent for tests. Parameters of its entry: `turn` names a file whose bits are all turned, which it turns back into
//! `/out`; `refuse`, `trap`, `spin` and `escape` are what it does when a model is to be loaded. Everything that it is told is a line of the log.

use nereid_sdk::{AgentAction, AgentModel, AgentPlace, Error, RepositoryAgent, export_agent, files, log};

struct Agent;

impl RepositoryAgent for Agent {
    fn act(action: AgentAction, model: &AgentModel) -> Result<AgentPlace, Error> {
        let parameter =
            |name: &str| model.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let me = parameter("me").unwrap_or_default();
        log::info!("agent {me} of {} was told {action:?}", model.name);
        if !model.config.contains("\"model_repository_agents\"") && !model.config.contains("\"modelRepositoryAgents\"")
        {
            return Err(Error::internal(format!("this is no configuration: {}", model.config)));
        }
        if action != AgentAction::Load {
            return match parameter("complain") {
                Some(_) => Err(Error::internal("nobody asked me")),
                None => Ok(AgentPlace::AsItIs),
            };
        }
        if let Some(why) = parameter("refuse") {
            return Err(Error::permission(why));
        }
        if parameter("trap").is_some() {
            panic!("out of luck");
        }
        if parameter("spin").is_some() {
            #[expect(clippy::empty_loop, reason = "what it is for")]
            loop {}
        }
        if parameter("escape").is_some() {
            files::write("/model/1/model.onnx", b"mine")?;
        }
        let Some(file) = parameter("turn") else { return Ok(AgentPlace::AsItIs) };
        let turned: Vec<u8> = files::read(&format!("/model/{file}"))?.iter().map(|byte| !byte).collect();
        files::write(&format!("/out/{file}"), &turned)?;
        Ok(AgentPlace::Replaced)
    }
}

export_agent!(Agent);
