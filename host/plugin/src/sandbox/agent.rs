//! A call of `agent.act`, by a thread that waits for it.

use nereid_inference::InferError;

use super::{Exported, Sandbox, block_on, clocked};
use crate::{
    agent::AgentTask,
    bindings::exports::nereid::plugin::agent::{Model, Place},
    convert,
    failure::explain,
    plugin::Plugin,
};

impl Sandbox {
    /// Puts the question, and gives the guest up.
    pub(crate) fn act(mut self, plugin: &Plugin, task: &AgentTask<'_>) -> Result<Place, InferError> {
        let subject = plugin.spec.subject();
        let Exported::Agent(agent) = self.exported.clone() else {
            return Err(InferError::internal(format!("{subject} exports no agent")));
        };
        let _ticking = plugin.engine.ticker().tick();
        self.store.data_mut().begin_without_request();
        self.store.set_epoch_deadline(1);
        let clock = self.store.data().call.clock.clone();
        let parameters = task.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let model = Model { name: task.model.to_owned(), config: task.config.to_owned(), parameters };
        let acting = agent.call_act(&mut self.store, task.action.to_host(), &model);
        match block_on(clocked(&clock, || false, acting)) {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(error)) => Err(convert::infer_error(error).prefixed(&format!("{subject}: "))),
            Err(trap) => Err(explain(self.store.data_mut(), &trap).error),
        }
    }
}
