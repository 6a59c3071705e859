//! Calls that answer no request: what a plugin knows of its configuration, whether an instance is ready, and its last word.

use std::sync::Arc;

use nereid_inference::InferError;
use nereid_telemetry::GuestEnd;

use super::{Retired, Sandbox, clocked};
use crate::{
    bindings::exports::nereid::plugin::completion::Draft,
    convert,
    failure::{CallFailure, explain},
    plugin::Plugin,
};

impl Sandbox {
    /// What a fresh guest makes of the configuration; `None` when it has nothing to say of it. The guest is used for nothing else.
    ///
    /// # Errors
    /// The guest's own, or what became of it.
    pub(crate) async fn complete(
        plugin: &Arc<Plugin>,
        instance: &Arc<str>,
        written: &Draft,
    ) -> Result<Option<Draft>, CallFailure> {
        let mut guest = Self::make(plugin, instance).await?;
        let Some(completion) = guest.additional.completion.clone() else { return Ok(None) };
        let _ticking = plugin.engine.ticker().tick();
        guest.store.data_mut().begin_without_request();
        guest.store.set_epoch_deadline(1);
        let clock = guest.store.data().call.clock.clone();
        let completed = clocked(&clock, || false, completion.call_complete(&mut guest.store, written)).await;
        let completed = completed.map_err(|trap| explain(guest.store.data_mut(), &trap))?;
        guest.retire(GuestEnd::Surplus);
        let subject = plugin.spec.subject();
        completed.map(Some).map_err(|error| convert::infer_error(error).prefixed(&format!("{subject}: ")).into())
    }

    /// Whether the guest can do its work, and the guest when it may be used again.
    pub(crate) async fn check(mut self, plugin: &Plugin) -> (Option<Self>, Result<(), InferError>) {
        let Some(readiness) = self.additional.readiness.clone() else { return (Some(self), Ok(())) };
        let ticking = plugin.engine.ticker().tick();
        self.store.data_mut().begin_of_its_own(plugin.spec.limits.readiness_time());
        self.store.set_epoch_deadline(1);
        let clock = self.store.data().call.clock.clone();
        let checking = readiness.check(&mut self.store);
        match plugin.engine.long_calls().run(&clock, || false, checking).await {
            Ok(said) => {
                drop(ticking);
                (self.end_apart(plugin).await, said.map_err(convert::infer_error))
            }
            Err(trap) => (None, Err(self.lost(&trap))),
        }
    }

    /// Lets the guest finish what it keeps back; gives it back when it still works.
    pub(crate) async fn drain(mut self, plugin: &Plugin) -> Option<Self> {
        let Some(draining) = self.additional.draining.clone() else { return Some(self) };
        let ticking = plugin.engine.ticker().tick();
        self.store.data_mut().begin_of_its_own(plugin.spec.limits.drain_time());
        self.store.set_epoch_deadline(1);
        let clock = self.store.data().call.clock.clone();
        let draining = draining.drain(&mut self.store);
        match plugin.engine.long_calls().run(&clock, || false, draining).await {
            Ok(()) => {
                drop(ticking);
                self.end_apart(plugin).await
            }
            Err(trap) => {
                tracing::warn!("a guest failed while it was drained: {}", self.lost(&trap));
                None
            }
        }
    }

    /// Ends such a call of a guest that still works; one that is worn out is finalised.
    async fn end_apart(self, plugin: &Plugin) -> Option<Self> {
        match self.end() {
            Ok(guest) => Some(guest),
            Err(Retired(guest)) => {
                guest.finalise(plugin).await;
                None
            }
        }
    }

    /// Why the guest is lost. Requests whose senders it keeps end with that, because nobody else will end them.
    fn lost(&mut self, trap: &wasmtime::Error) -> InferError {
        let failure = explain(self.store.data_mut(), trap);
        self.fail_senders(&failure.error);
        failure.error
    }
}
