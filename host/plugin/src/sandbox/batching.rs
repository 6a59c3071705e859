//! Calls of `batching`: initialised once, then batch by batch, request by request.

use nereid_inference::InferError;
use nereid_telemetry::GuestEnd;

use super::{Exported, Sandbox, clocked};
use crate::{
    bindings::exports::nereid::plugin::batching::{Guest, Model, Request},
    convert,
    failure::{CallFailure, explain},
    metering::CallMeter,
    plugin::Plugin,
};

/// What a guest is asked or told.
pub(crate) enum Step {
    Begin,
    Include(Request),
    Finish,
}

impl Sandbox {
    /// Tells a guest that was just made for which model it forms batches.
    pub(crate) async fn initialise_strategy(mut self, plugin: &Plugin, model: &Model) -> Result<Self, CallFailure> {
        let batching = self.batching(plugin)?;
        let _ticking = plugin.engine.ticker().tick();
        self.store.data_mut().begin_without_request();
        self.store.set_epoch_deadline(1);
        let clock = self.store.data().call.clock.clone();
        match clocked(&clock, || false, batching.call_initialise(&mut self.store, model)).await {
            Ok(Ok(())) => {
                self.leaked_handles += self.store.data_mut().end();
                Ok(self)
            }
            Ok(Err(error)) => {
                let subject = plugin.spec.subject();
                let error = convert::infer_error(error).prefixed(&format!("{subject} cannot be initialised: "));
                self.store.data_mut().life.retire(GuestEnd::Start);
                Err(CallFailure::lost(error))
            }
            Err(trap) => Err(explain(self.store.data_mut(), &trap)),
        }
    }

    /// Takes one step of forming a batch; says whether the request joins, and gives the guest back when it may be used again. It is
    /// replaced between batches alone, because it counts within one.
    pub(crate) async fn form(mut self, plugin: &Plugin, step: Step) -> Result<(Option<Self>, bool), CallFailure> {
        let batching = self.batching(plugin)?;
        let _ticking = plugin.engine.ticker().tick();
        self.store.data_mut().begin_without_request();
        self.store.set_epoch_deadline(1);
        let clock = self.store.data().call.clock.clone();
        let meter = CallMeter::start(clock.clone(), vec![plugin.spec.usage.of_tenant(None)]);
        let is_last = matches!(step, Step::Finish);
        let store = &mut self.store;
        let called = clocked(&clock, || false, async {
            match step {
                Step::Begin => batching.call_begin_batch(store).await.map(|()| true),
                Step::Include(request) => batching.call_include_request(store, &request).await,
                Step::Finish => batching.call_finish_batch(store).await.map(|()| true),
            }
        });
        let called = called.await;
        drop(meter);
        match called {
            Ok(joins) if is_last => Ok((self.end().ok(), joins)),
            Ok(joins) => {
                self.leaked_handles += self.store.data_mut().end();
                Ok((Some(self), joins))
            }
            Err(trap) => Err(explain(self.store.data_mut(), &trap)),
        }
    }

    fn batching(&self, plugin: &Plugin) -> Result<Guest, CallFailure> {
        match self.exported.clone() {
            Exported::Batching(batching) => Ok(*batching),
            _ => Err(InferError::internal(format!("{} forms no batches", plugin.spec.subject())).into()),
        }
    }
}
