//! The life of a model as a guest exports it: in functions that return, or in functions that await.
//!
//! Both are called with the store in hand, one at a time. While a function of the second kind is under way wasmtime runs the guest's
//! other tasks too, and a guest in which nothing can go on any more traps.

use wasmtime::{Store, component::Resource};

use crate::{
    bindings::{
        exports::nereid::{
            plugin::model::{Guest, Outcome},
            plugin_async::model::{Guest as AsyncGuest, Outcome as AsyncOutcome},
        },
        nereid::plugin::types::Error,
    },
    imports::serving::RequestHandle,
    state::PluginState,
};

/// See the file's head.
#[derive(Clone)]
pub(super) enum ModelExport {
    Returning(Guest),
    Awaiting(AsyncGuest),
}

// === impl ModelExport ===

impl ModelExport {
    pub(super) async fn initialise(&self, store: &mut Store<PluginState>) -> wasmtime::Result<Result<(), Error>> {
        match self {
            Self::Returning(guest) => guest.call_initialise(store).await,
            Self::Awaiting(guest) => Ok(guest.func_initialise().call_async(store, ()).await?.0),
        }
    }

    pub(super) async fn execute(
        &self,
        store: &mut Store<PluginState>,
        batch: Vec<Resource<RequestHandle>>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        match self {
            Self::Returning(guest) => guest.call_execute(store, &batch).await,
            Self::Awaiting(guest) => {
                let (outcomes,) = guest.func_execute().call_async(store, (batch,)).await?;
                Ok(outcomes.into_iter().map(Outcome::from).collect())
            }
        }
    }

    pub(super) async fn finalise(&self, store: &mut Store<PluginState>) -> wasmtime::Result<()> {
        match self {
            Self::Returning(guest) => guest.call_finalise(store).await,
            Self::Awaiting(guest) => guest.func_finalise().call_async(store, ()).await,
        }
    }
}

// === impl Outcome ===

impl From<AsyncOutcome> for Outcome {
    fn from(outcome: AsyncOutcome) -> Self {
        match outcome {
            AsyncOutcome::Answer(response) => Self::Answer(response),
            AsyncOutcome::Failure(error) => Self::Failure(error),
            AsyncOutcome::Deferred => Self::Deferred,
            AsyncOutcome::Reschedule(states) => Self::Reschedule(states),
        }
    }
}
