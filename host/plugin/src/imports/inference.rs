//! `inference`: a guest calls other models through the service that clients use.
//!
//! Refused here: calls of models that the plugin was not granted, calls that come back to a model that already waits (with a
//! bounded number of instances they would wait for ever), chains beyond the depth limit, and calls beyond the limits on their
//! number. Nobody waits beyond the deadline of the guest's own call. Dropping the guest's call drops the child requests, which
//! cancels them.

mod pending_call;

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use nereid_inference::{CallChain, InferError, InferRequest, InferResponse, NamedTensor, ServedModel};
use wasmtime::component::Resource;

use crate::{
    account::Charge,
    bindings::nereid::plugin::{
        inference::{Call, Host, HostPending},
        serving::Response,
        tensors::Named,
        types::Error,
    },
    convert,
    failure::Stop,
    state::{PluginState, Serving},
    tensor_handle::TensorHandle,
};

#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub use self::pending_call::PendingCall;
pub(super) use self::pending_call::{Patience, PreparedCall, Waited};

type Handle = Resource<PendingCall>;

// === impl PluginState ===

impl PluginState {
    fn start_call(&mut self, import: &'static str, call: Call) -> wasmtime::Result<Result<PendingCall, InferError>> {
        Ok(self.prepare_call(import, call)?.map(|prepared| self.begin_call(prepared)))
    }

    /// A call with all that the guest may not decide by itself.
    pub(super) fn prepare_call(
        &mut self,
        import: &'static str,
        call: Call,
    ) -> wasmtime::Result<Result<PreparedCall, InferError>> {
        self.enter(import)?;
        let serving = self.serving()?;
        let (inputs, charges) = self.take_inputs(call.inputs)?;
        let callers = match self.admit_call(&serving, &call.model) {
            Ok(callers) => callers,
            Err(error) => return Ok(Err(error)),
        };
        let sequence = match call.sequence.map(convert::sequence_in).transpose() {
            Ok(sequence) => sequence,
            Err(error) => return Ok(Err(error)),
        };
        let child = serving.child(inputs, callers);
        let request = InferRequest {
            id: call.id.unwrap_or(child.id),
            requested_outputs: call.wanted_outputs.iter().map(|name| name.as_str().into()).collect(),
            parameters: convert::parameters_in(call.parameters),
            priority: call.priority.unwrap_or(child.priority),
            sequence,
            ..child
        };
        let give_up = call.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(u64::from(ms)));
        let model = self.find_called(&call.model, call.version);
        Ok(model.map(|model| PreparedCall { model, name: call.model, request, charges, give_up }))
    }

    /// What the model computes right here is not computed by this guest.
    pub(super) fn begin_call(&self, prepared: PreparedCall) -> PendingCall {
        self.call.clock.stand_still(|| prepared.begin())
    }

    /// What the guest calls models for.
    ///
    /// # Errors
    /// It does so while it is started.
    pub(super) fn serving(&self) -> Result<Serving, Stop> {
        self.call.serving.clone().ok_or(Stop::NotServing)
    }

    /// Counts a call of a model and compares it with the grant and with who waits already; the chain with this plugin's model.
    pub(super) fn admit_call(&mut self, serving: &Serving, model: &str) -> Result<Arc<CallChain>, InferError> {
        let limit = self.limits().model_calls_max;
        self.call.model_calls += 1;
        if self.call.model_calls > limit {
            let text = format!("more than {limit} calls to other models in one call (model_calls)");
            return Err(InferError::resource_exhausted(text));
        }
        self.spec.grants.models.check("call", "models", model)?;
        self.extend_chain(serving, model)
    }

    /// The model that an admitted call goes to.
    pub(super) fn find_called(&self, model: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        self.usage_of_caller().called_model();
        self.spec.service.get()?.model(model, version)
    }

    /// The inputs, taken from the guest.
    fn take_inputs(&mut self, inputs: Vec<Named>) -> wasmtime::Result<(Vec<NamedTensor>, Vec<Arc<Charge>>)> {
        let mut tensors = Vec::with_capacity(inputs.len());
        let mut charges = Vec::new();
        for named in inputs {
            let mut handle = self.tensors.remove(named.data.rep()).ok_or(Stop::StaleHandle("tensor"))?;
            let (tensor, charge) = handle.share()?;
            tensors.push(NamedTensor::new(named.name, tensor));
            charges.extend(charge);
        }
        Ok((tensors, charges))
    }

    /// The chain of those who wait, this plugin's model included.
    fn extend_chain(&self, serving: &Serving, called: &str) -> Result<Arc<CallChain>, InferError> {
        let chain = CallChain::extend(serving.callers.clone(), self.spec.model.name.clone());
        for chain in std::iter::once(&chain).chain(&serving.more_callers) {
            if chain.includes(called) {
                let text = format!(
                    "model '{called}' cannot be called, because it waits for this call itself: {chain} -> {called}"
                );
                return Err(InferError::resource_exhausted(text));
            }
        }
        let limit = self.limits().call_depth_max;
        if chain.depth >= limit {
            let text = format!("a chain of {limit} models is the longest allowed (call_depth): {chain} -> {called}");
            return Err(InferError::resource_exhausted(text));
        }
        Ok(chain)
    }

    /// How long the guest may wait for something.
    pub(super) fn patience(&self) -> Patience {
        Patience { deadline: self.call.clock.deadline(), time: self.call.time, shown: self.time.clone() }
    }

    /// The response, its tensors given to the guest.
    pub(super) fn hand_over(&mut self, response: InferResponse) -> Result<Response, InferError> {
        let mut outputs = Vec::with_capacity(response.outputs.len());
        for output in response.outputs {
            let received = TensorHandle::received(output.tensor, &self.call.account);
            let data = self.keep(received)?;
            outputs.push(Named { name: output.name.to_string(), data });
        }
        Ok(Response { outputs, parameters: convert::parameters_out(&response.parameters) })
    }

    /// Waits for something that no guest decides how long to wait for.
    pub(crate) async fn within_deadline<T>(&self, future: impl Future<Output = T>) -> Result<T, Stop> {
        self.patience().within_deadline(future).await
    }

    async fn receive_from(
        &mut self,
        pending: &mut PendingCall,
    ) -> wasmtime::Result<Result<Option<Response>, InferError>> {
        let give_up = pending.give_up();
        let received = match self.patience().wait(give_up, pending.receive()).await? {
            Waited::Done(received) => received,
            Waited::GaveUp => return Ok(Err(pending.timed_out())),
        };
        Ok(match received {
            Some(Ok(response)) => self.hand_over(response).map(Some),
            Some(Err(error)) => Err(pending.blame(error)),
            None => Ok(None),
        })
    }

    /// Whether one more call is within the limit.
    pub(super) fn check_calls_under_way(&self) -> Result<(), InferError> {
        let limit = self.limits().pending_calls_max;
        if self.pending.len() + self.awaited.len() + self.call.awaited_calls.count() < limit as usize {
            return Ok(());
        }
        Err(InferError::resource_exhausted(format!(
            "{limit} calls to other models are under way, the limit (pending_calls)"
        )))
    }

    fn keep_pending(&mut self, started: Result<PendingCall, InferError>) -> Result<Handle, InferError> {
        let pending = started?;
        self.check_calls_under_way()?;
        self.check_handles()?;
        Ok(Resource::new_own(self.pending.insert(pending)))
    }
}

impl Host for PluginState {
    async fn infer(&mut self, call: Call) -> wasmtime::Result<Result<Response, Error>> {
        let answer = match self.start_call("inference.infer", call)? {
            Ok(pending) => pending.receive_only(&self.patience()).await?.and_then(|response| self.hand_over(response)),
            Err(error) => Err(error),
        };
        Ok(answer.inspect_err(|error| self.note_refusal(error)).map_err(convert::error))
    }

    fn submit(&mut self, call: Call) -> wasmtime::Result<Result<Handle, Error>> {
        let started = self.start_call("inference.submit", call)?;
        let kept = self.keep_pending(started);
        Ok(kept.inspect_err(|error| self.note_refusal(error)).map_err(convert::error))
    }

    async fn wait_any(
        &mut self,
        calls: Vec<Handle>,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Result<Option<u32>, Error>> {
        self.enter("inference.wait-any")?;
        if calls.is_empty() {
            let error = InferError::invalid_argument("wait-any needs at least one call to wait for");
            return Ok(Err(convert::error(error)));
        }
        if calls.iter().any(|handle| self.pending.get(handle.rep()).is_none()) {
            return Err(Stop::StaleHandle("pending").into());
        }
        let give_up = timeout_ms.map(|ms| Instant::now() + Duration::from_millis(u64::from(ms)));
        let mut pending = std::mem::replace(&mut self.pending, crate::handles::Arena::new());
        let first = poll_fn(|context| {
            for (index, handle) in (0_u32..).zip(&calls) {
                if pending.get_mut(handle.rep()).is_some_and(|call| call.poll_ready(context).is_ready()) {
                    return Poll::Ready(index);
                }
            }
            Poll::Pending
        });
        let waited = self.patience().wait(give_up, first).await;
        self.pending = pending;
        Ok(Ok(match waited? {
            Waited::Done(index) => Some(index),
            Waited::GaveUp => None,
        }))
    }

    fn model_ready(&mut self, model: String, version: Option<u64>) -> wasmtime::Result<bool> {
        self.enter("inference.model-ready")?;
        let is_granted = self.spec.grants.models.contains(&model);
        Ok(is_granted && self.spec.service.get().is_ok_and(|service| service.model(&model, version).is_ok()))
    }
}

impl HostPending for PluginState {
    async fn receive(&mut self, handle: Handle) -> wasmtime::Result<Result<Option<Response>, Error>> {
        self.enter("inference.pending.receive")?;
        // Taken out while it is waited for: nothing else runs in this store meanwhile.
        let mut pending = std::mem::replace(&mut self.pending, crate::handles::Arena::new());
        let answer = match pending.get_mut(handle.rep()) {
            Some(call) => self.receive_from(call).await,
            None => Err(Stop::StaleHandle("pending").into()),
        };
        self.pending = pending;
        Ok(answer?.inspect_err(|error| self.note_refusal(error)).map_err(convert::error))
    }

    fn ready(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        self.enter("inference.pending.ready")?;
        let pending = self.pending.get_mut(handle.rep()).ok_or(Stop::StaleHandle("pending"))?;
        Ok(pending.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready())
    }

    fn cancel(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.enter("inference.pending.cancel")?;
        self.pending.get_mut(handle.rep()).ok_or(Stop::StaleHandle("pending"))?.cancel();
        Ok(())
    }

    /// A handle of an earlier call is gone already.
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.pending.remove(handle.rep());
        Ok(())
    }
}
