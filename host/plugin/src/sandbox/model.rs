//! Calls of `model`: initialised once, a batch at a time, finalised at the end.

use std::sync::Arc;

use nereid_inference::{CheckedRequest, InferError, InferResponse};
use nereid_telemetry::GuestEnd;
use wasmtime::component::Resource;

use super::{Exported, Retired, Sandbox, clocked};
use crate::{
    bindings::exports::nereid::plugin::model::Outcome,
    convert,
    failure::{CallFailure, explain},
    imports::serving::RequestHandle,
    metering::CallMeter,
    plugin::Plugin,
    sender::SenderSlot,
    state::Serving,
};

/// One request of a batch, and where its sender lies.
pub(crate) struct Question<'a> {
    pub(crate) request: &'a CheckedRequest,
    pub(crate) slot: Arc<SenderSlot>,
}

/// What the guest said of one request; not yet compared with its model.
pub(crate) enum Answer {
    Now(Result<InferResponse, InferError>),
    Deferred,
    Again(Result<InferResponse, InferError>),
}

impl Sandbox {
    /// Tells a guest that was just made to get ready.
    pub(super) async fn initialise(&mut self, plugin: &Plugin) -> Result<(), CallFailure> {
        let Exported::Model(model) = self.exported.clone() else { return Ok(()) };
        self.store.set_epoch_deadline(1);
        let clock = self.store.data().call.clock.clone();
        let call = model.initialise(&mut self.store);
        match plugin.engine.long_calls().run(&clock, || false, call).await {
            Ok(Ok(())) => {
                self.leaked_handles += self.store.data_mut().end();
                Ok(())
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

    /// Executes a batch, and gives the guest back when it may be used again. There are as many answers as questions.
    pub(crate) async fn execute(
        mut self,
        plugin: &Plugin,
        questions: &[Question<'_>],
    ) -> (Option<Self>, Result<Vec<Answer>, CallFailure>) {
        let Exported::Model(model) = self.exported.clone() else {
            let text = format!("{} exports no model", plugin.spec.subject());
            return (Some(self), Err(InferError::internal(text).into()));
        };
        let ticking = plugin.engine.ticker().tick();
        let requests = self.give_batch(questions);
        let clock = self.store.data().call.clock.clone();
        let shares = questions.iter().map(|question| question.slot.usage().clone()).collect();
        let meter = CallMeter::start(clock.clone(), shares);
        let cancelled = || questions.iter().all(|question| question.slot.is_open() && question.slot.is_over());
        let call = model.execute(&mut self.store, requests);
        let returned = plugin.engine.long_calls().run_by_habit(&plugin.habit, &clock, cancelled, call).await;
        self.store.data_mut().report_call();
        drop(meter);
        let answers = match returned {
            Ok(outcomes) => self.take_outcomes(plugin, questions.len(), outcomes),
            Err(trap) => Err(trap),
        };
        match answers {
            Ok(answers) => {
                let guest = match self.end() {
                    Ok(guest) => Some(guest),
                    Err(Retired(guest)) => {
                        drop(ticking);
                        guest.finalise(plugin).await;
                        None
                    }
                };
                (guest, answers.map_err(CallFailure::from))
            }
            Err(fatal) => {
                let failure = explain(self.store.data_mut(), &fatal);
                self.fail_senders(&failure.error);
                (None, Err(failure))
            }
        }
    }

    /// Lets a guest that still works put its things in order, and gives it up.
    pub(crate) async fn finalise(mut self, plugin: &Plugin) {
        let Exported::Model(model) = self.exported.clone() else { return };
        let _ticking = plugin.engine.ticker().tick();
        self.store.data_mut().begin_without_request();
        self.store.set_epoch_deadline(1);
        let clock = self.store.data().call.clock.clone();
        if let Err(trap) = clocked(&clock, || false, model.finalise(&mut self.store)).await {
            tracing::warn!("a guest failed while it was finalised: {}", explain(self.store.data_mut(), &trap).error);
        }
    }

    /// Ends every request whose sender the guest has, those of earlier batches too: nobody will answer them any more.
    pub(super) fn fail_senders(&self, error: &InferError) {
        self.store.data().senders.iter().for_each(|sender| sender.slot().fail(error.clone()));
    }

    fn give_batch(&mut self, questions: &[Question<'_>]) -> Vec<Resource<RequestHandle>> {
        let state = self.store.data_mut();
        state.begin(Serving::batch(questions.iter().map(|question| question.request.get())));
        let requests = questions.iter().map(|question| {
            let handle = RequestHandle::new(question.request, Some(question.slot.clone()));
            Resource::new_own(state.requests.insert(handle))
        });
        let requests = requests.collect();
        self.store.set_epoch_deadline(1);
        requests
    }

    /// What the guest returned, its tensors taken; the outer error costs the guest.
    fn take_outcomes(
        &mut self,
        plugin: &Plugin,
        expected: usize,
        outcomes: Vec<Outcome>,
    ) -> wasmtime::Result<Result<Vec<Answer>, InferError>> {
        let subject = plugin.spec.subject();
        if outcomes.len() != expected {
            let found = outcomes.len();
            let text =
                format!("{subject} gave {found} outcomes for a batch of {expected} requests: expected one for each");
            return Ok(Err(InferError::internal(text)));
        }
        let state = self.store.data_mut();
        let mut answers = Vec::with_capacity(expected);
        for outcome in outcomes {
            answers.push(match outcome {
                Outcome::Answer(response) => Answer::Now(state.take_response(response)?),
                Outcome::Failure(error) => {
                    Answer::Now(Err(convert::infer_error(error).prefixed(&format!("{subject}: "))))
                }
                Outcome::Deferred => Answer::Deferred,
                Outcome::Reschedule(states) => Answer::Again(state.take_outputs(states)?.map(InferResponse::new)),
            });
        }
        Ok(Ok(answers))
    }
}
