//! What calls use, counted for the tenants whose requests they serve.

use std::sync::Arc;

use nereid_inference::{CheckedRequest, InferError, InferResponse};
use nereid_telemetry::Usage;

use crate::{clock::CallClock, plugin::PluginSpec, state::PluginState};

/// Counts a call's processor time when the call is over, however it ends: each request of a batch has its share.
pub(crate) struct CallMeter {
    clock: Arc<CallClock>,
    shares: Vec<Arc<Usage>>,
}

// === impl PluginSpec ===

impl PluginSpec {
    /// Whose figures a request counts into; counts that it came.
    pub(crate) fn usage_for(&self, request: &CheckedRequest) -> Arc<Usage> {
        let request = request.get();
        let usage = self.usage.of_tenant(request.tenant.as_ref().map(|tenant| tenant.name()));
        usage.request(request.inputs.iter().map(|input| input.tensor.byte_size() as u64).sum());
        usage
    }
}

// === impl PluginState ===

impl PluginState {
    /// Whose figures what the guest does now counts into: the tenant whose request is served; of a batch of several tenants, and
    /// outside of calls, nobody's.
    pub(crate) fn usage_of_caller(&self) -> Arc<Usage> {
        let tenant = self.call.serving.as_ref().and_then(|serving| serving.tenant.as_ref());
        self.spec.usage.of_tenant(tenant.map(|tenant| tenant.name()))
    }
}

// === impl CallMeter ===

impl CallMeter {
    /// From now on, the time of this clock.
    pub(crate) fn start(clock: Arc<CallClock>, shares: Vec<Arc<Usage>>) -> Self {
        Self { clock, shares }
    }
}

impl Drop for CallMeter {
    fn drop(&mut self) {
        let count = u32::try_from(self.shares.len()).unwrap_or(u32::MAX).max(1);
        let share = self.clock.cpu_time() / count;
        self.shares.iter().for_each(|usage| usage.computed(share));
    }
}

/// Counts how a request ended.
pub(crate) fn count_answer(usage: &Usage, answer: &Result<InferResponse, InferError>) {
    match answer {
        Ok(response) => usage.answered(response_bytes(response)),
        Err(_) => usage.failed(),
    }
}

/// Bytes of the outputs.
pub(crate) fn response_bytes(response: &InferResponse) -> u64 {
    response.outputs.iter().map(|output| output.tensor.byte_size() as u64).sum()
}
