//! A call of `transform.run`: one request, one answer.

use std::sync::Arc;

use nereid_inference::{CheckedRequest, InferError, InferResponse};
use nereid_telemetry::Usage;
use wasmtime::component::Resource;

use super::{Exported, Sandbox};
use crate::{
    bindings::nereid::plugin::tensors::Named,
    convert,
    failure::{CallFailure, explain},
    imports::serving::RequestHandle,
    metering::CallMeter,
    plugin::Plugin,
    state::Serving,
    tensor_handle::TensorHandle,
};

impl Sandbox {
    /// Answers one request, and gives the guest back when it may be used again.
    pub(crate) async fn run(
        mut self,
        plugin: &Plugin,
        (request, usage): (&CheckedRequest, &Arc<Usage>),
        cancelled: impl Fn() -> bool + Send,
    ) -> (Option<Self>, Result<InferResponse, CallFailure>) {
        let Exported::Transform(transform) = self.exported.clone() else {
            let text = format!("{} exports no transform", plugin.spec.subject());
            return (Some(self), Err(InferError::internal(text).into()));
        };
        let _ticking = plugin.engine.ticker().tick();
        let (handle, inputs) = self.give_request(request);
        let clock = self.store.data().call.clock.clone();
        let _meter = CallMeter::start(clock.clone(), vec![usage.clone()]);
        let call = transform.call_run(&mut self.store, handle, &inputs);
        let returned = plugin.engine.long_calls().run_by_habit(&plugin.habit, &clock, cancelled, call).await;
        self.store.data_mut().report_call();
        let answer = match returned {
            Ok(Ok(response)) => self.store.data_mut().take_response(response),
            Ok(Err(error)) => {
                let subject = plugin.spec.subject();
                Ok(Err(convert::infer_error(error).prefixed(&format!("{subject}: "))))
            }
            Err(trap) => Err(trap),
        };
        match answer {
            Ok(answer) => (self.end().ok(), answer.map_err(CallFailure::from)),
            Err(fatal) => {
                let failure = explain(self.store.data_mut(), &fatal);
                (None, Err(failure))
            }
        }
    }

    /// Gives the guest its request and inputs.
    fn give_request(&mut self, checked: &CheckedRequest) -> (Resource<RequestHandle>, Vec<Named>) {
        let state = self.store.data_mut();
        state.begin(Serving::one(checked.get()));
        let handle = Resource::new_own(state.requests.insert(RequestHandle::new(checked, None)));
        let inputs = checked.get().inputs.iter().map(|input| {
            let tensor = TensorHandle::free_of_charge(input.tensor.clone());
            Named { name: input.name.to_string(), data: Resource::new_own(state.tensors.insert(tensor)) }
        });
        let inputs = inputs.collect();
        self.store.set_epoch_deadline(1);
        (handle, inputs)
    }
}
