//! `serving.request`: the request as the guest sees it.

use std::sync::Arc;

use nereid_inference::{CheckedRequest, InferError, NamedTensor, Parameters, RequestTrace, SequenceFlags};
use wasmtime::component::Resource;

use crate::{
    bindings::nereid::plugin::{
        serving::{Host, HostRequest, Sequence},
        tensors::Named,
        types::{Error, Parameter},
    },
    convert,
    failure::Stop,
    sender::{SenderHandle, SenderSlot},
    state::PluginState,
    tensor_handle::TensorHandle,
};

/// What a guest may ask of its request.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct RequestHandle {
    id: String,
    inputs: Vec<NamedTensor>,
    rows: u64,
    parameters: Parameters,
    requested_outputs: Vec<Arc<str>>,
    sequence: Option<SequenceFlags>,
    priority: u64,
    tenant: Option<Arc<str>>,
    trace: Option<Arc<dyn RequestTrace>>,
    /// Where its sender lies; `None` in a plugin that answers by returning.
    slot: Option<Arc<SenderSlot>>,
}

type Handle = Resource<RequestHandle>;

// === impl RequestHandle ===

impl RequestHandle {
    pub(crate) fn new(checked: &CheckedRequest, slot: Option<Arc<SenderSlot>>) -> Self {
        let request = checked.get();
        Self {
            id: request.id.clone(),
            inputs: request.inputs.clone(),
            rows: checked.batch_size(),
            parameters: request.parameters.clone(),
            requested_outputs: request.requested_outputs.clone(),
            sequence: request.sequence.clone(),
            priority: request.priority,
            tenant: request.tenant.as_ref().map(|tenant| tenant.name().clone()),
            trace: request.trace.clone(),
            slot,
        }
    }

    /// Where its steps are told, when it is traced.
    pub(crate) fn trace(&self) -> Option<Arc<dyn RequestTrace>> {
        self.trace.clone()
    }

    fn input(&self, name: &str) -> Option<TensorHandle> {
        let input = self.inputs.iter().find(|input| &*input.name == name)?;
        Some(TensorHandle::free_of_charge(input.tensor.clone()))
    }
}

// === impl PluginState ===

impl PluginState {
    fn request(&mut self, import: &'static str, handle: &Handle) -> wasmtime::Result<&RequestHandle> {
        self.enter(import)?;
        self.requests.get(handle.rep()).ok_or_else(|| Stop::StaleHandle("request").into())
    }

    /// Gives the guest the handle of the sender, once.
    fn hand_out_sender(&mut self, slot: Option<Arc<SenderSlot>>) -> Result<Resource<SenderHandle>, InferError> {
        let slot = slot.ok_or_else(|| {
            InferError::unsupported("only model.execute gives senders; transform.run answers by returning")
        })?;
        self.check_handles()?;
        if !slot.hand_out() {
            return Err(InferError::already_exists("the request's sender was taken already"));
        }
        Ok(Resource::new_own(self.senders.insert(SenderHandle::new(slot))))
    }
}

impl Host for PluginState {}

impl HostRequest for PluginState {
    fn id(&mut self, handle: Handle) -> wasmtime::Result<String> {
        Ok(self.request("serving.request.id", &handle)?.id.clone())
    }

    fn inputs(&mut self, handle: Handle) -> wasmtime::Result<Result<Vec<Named>, Error>> {
        let inputs = self.request("serving.request.inputs", &handle)?.inputs.clone();
        let given = inputs.into_iter().map(|input| {
            let data = self.keep(Ok(TensorHandle::free_of_charge(input.tensor)))?;
            Ok(Named { name: input.name.to_string(), data })
        });
        Ok(given.collect::<Result<_, InferError>>().map_err(convert::error))
    }

    fn input(
        &mut self,
        handle: Handle,
        name: String,
    ) -> wasmtime::Result<Result<Option<Resource<TensorHandle>>, Error>> {
        let Some(input) = self.request("serving.request.input", &handle)?.input(&name) else { return Ok(Ok(None)) };
        Ok(self.keep(Ok(input)).map(Some).map_err(convert::error))
    }

    fn rows(&mut self, handle: Handle) -> wasmtime::Result<u64> {
        Ok(self.request("serving.request.rows", &handle)?.rows)
    }

    fn parameters(&mut self, handle: Handle) -> wasmtime::Result<Vec<Parameter>> {
        Ok(convert::parameters_out(&self.request("serving.request.parameters", &handle)?.parameters))
    }

    fn wanted_outputs(&mut self, handle: Handle) -> wasmtime::Result<Vec<String>> {
        Ok(self
            .request("serving.request.wanted-outputs", &handle)?
            .requested_outputs
            .iter()
            .map(|name| name.to_string())
            .collect())
    }

    fn wants(&mut self, handle: Handle, name: String) -> wasmtime::Result<bool> {
        let requested = &self.request("serving.request.wants", &handle)?.requested_outputs;
        Ok(requested.is_empty() || requested.iter().any(|output| **output == *name))
    }

    fn sequence(&mut self, handle: Handle) -> wasmtime::Result<Option<Sequence>> {
        Ok(self.request("serving.request.sequence", &handle)?.sequence.as_ref().map(convert::sequence_out))
    }

    fn tenant(&mut self, handle: Handle) -> wasmtime::Result<Option<String>> {
        Ok(self.request("serving.request.tenant", &handle)?.tenant.as_ref().map(ToString::to_string))
    }

    fn priority(&mut self, handle: Handle) -> wasmtime::Result<u64> {
        Ok(self.request("serving.request.priority", &handle)?.priority)
    }

    fn remaining_ms(&mut self, handle: Handle) -> wasmtime::Result<u32> {
        self.request("serving.request.remaining-ms", &handle)?;
        Ok(u32::try_from(self.call.clock.remaining().as_millis()).unwrap_or(u32::MAX))
    }

    fn cancelled(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        let gone = self.request("serving.request.cancelled", &handle)?.slot.as_ref().map(|slot| slot.is_over());
        Ok(gone.unwrap_or_else(|| self.call.clock.cancelled_for().is_some()))
    }

    fn sender(&mut self, handle: Handle) -> wasmtime::Result<Result<Resource<SenderHandle>, Error>> {
        let slot = self.request("serving.request.sender", &handle)?.slot.clone();
        Ok(self.hand_out_sender(slot).map_err(convert::error))
    }

    /// A handle of an earlier call is gone already.
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.requests.remove(handle.rep());
        Ok(())
    }
}
