//! Repository agents: asked when a model is loaded and unloaded.
//!
//! ```no_run
//! use nereid_sdk::{AgentAction, AgentModel, AgentPlace, Error, RepositoryAgent, export_agent, files};
//!
//! struct NeedsLabels;
//!
//! impl RepositoryAgent for NeedsLabels {
//!     fn act(action: AgentAction, model: &AgentModel) -> Result<AgentPlace, Error> {
//!         if action == AgentAction::Load && files::read("/model/labels.txt").is_err() {
//!             return Err(Error::invalid_argument(format!("model '{}' has no labels.txt", model.name)));
//!         }
//!         Ok(AgentPlace::AsItIs)
//!     }
//! }
//!
//! export_agent!(NeedsLabels);
//! ```

use crate::{
    Error,
    bindings::{agent::exports::nereid::plugin::agent as exported, nereid::plugin::types},
};

pub use exported::{Action as AgentAction, Model as AgentModel, Place as AgentPlace};

/// What is asked of an agent. Every question is put to a fresh instance.
pub trait RepositoryAgent {
    /// Says what it makes of the model, whose directory is `/model`; with [`AgentAction::Load`] it may write into `/out` and answer
    /// [`AgentPlace::Replaced`].
    ///
    /// # Errors
    /// With [`AgentAction::Load`], why the model must not be loaded. Else a line of the log.
    fn act(action: AgentAction, model: &AgentModel) -> Result<AgentPlace, Error>;
}

/// Makes a type that implements [`RepositoryAgent`] the agent that this crate builds. Once per crate, which must have
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export_agent {
    ($agent:ty) => {
        const _: () = {
            use $crate::bindings::{agent::exports::nereid::plugin::agent as exported, nereid::plugin as host};

            struct Exported;

            impl exported::Guest for Exported {
                fn act(
                    action: exported::Action,
                    model: exported::Model,
                ) -> ::std::result::Result<exported::Place, host::types::Error> {
                    $crate::act_exported::<$agent>(action, &model)
                }
            }

    $crate::bindings::agent::export_agent_bindings!(Exported with_types_in $crate::bindings::agent);
        };
    };
}

/// What [`export_agent!`] calls.
#[doc(hidden)]
pub fn act_exported<T: RepositoryAgent>(action: AgentAction, model: &AgentModel) -> Result<AgentPlace, types::Error> {
    crate::export::report_panics();
    Ok(T::act(action, model)?)
}
