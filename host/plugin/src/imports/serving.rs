//! `serving`: the request as the guest sees it.

use std::sync::Arc;

use nereid_inference::{CheckedRequest, Parameters};
use wasmtime::component::Resource;

use crate::{
    bindings::nereid::plugin::{
        serving::{Host, HostRequest},
        types::Parameter,
    },
    convert,
    failure::Stop,
    state::PluginState,
};

/// What a guest may ask of its request.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct RequestHandle {
    id: String,
    parameters: Parameters,
    requested_outputs: Vec<Arc<str>>,
}

type Handle = Resource<RequestHandle>;

// === impl RequestHandle ===

impl RequestHandle {
    pub(crate) fn new(request: &CheckedRequest) -> Self {
        let request = request.get();
        Self {
            id: request.id.clone(),
            parameters: request.parameters.clone(),
            requested_outputs: request.requested_outputs.clone(),
        }
    }
}

// === impl PluginState ===

impl PluginState {
    fn request(&mut self, handle: &Handle) -> wasmtime::Result<&RequestHandle> {
        self.enter()?;
        self.requests.get(handle.rep()).ok_or_else(|| Stop::StaleHandle("request").into())
    }
}

impl Host for PluginState {}

impl HostRequest for PluginState {
    fn id(&mut self, handle: Handle) -> wasmtime::Result<String> {
        Ok(self.request(&handle)?.id.clone())
    }

    fn parameters(&mut self, handle: Handle) -> wasmtime::Result<Vec<Parameter>> {
        Ok(convert::parameters_out(&self.request(&handle)?.parameters))
    }

    fn wanted_outputs(&mut self, handle: Handle) -> wasmtime::Result<Vec<String>> {
        Ok(self.request(&handle)?.requested_outputs.iter().map(|name| name.to_string()).collect())
    }

    fn wants(&mut self, handle: Handle, name: String) -> wasmtime::Result<bool> {
        let requested = &self.request(&handle)?.requested_outputs;
        Ok(requested.is_empty() || requested.iter().any(|output| **output == *name))
    }

    fn remaining_ms(&mut self, handle: Handle) -> wasmtime::Result<u32> {
        self.request(&handle)?;
        Ok(u32::try_from(self.call.clock.remaining().as_millis()).unwrap_or(u32::MAX))
    }

    fn cancelled(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        self.request(&handle)?;
        Ok(self.call.clock.cancelled_for().is_some())
    }

    /// A handle of an earlier call is gone already.
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.requests.remove(handle.rep());
        Ok(())
    }
}
