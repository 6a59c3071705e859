//! The memory budget as one generation of a model meets it: its own charge, and its requests'.
//!
//! A request is charged the tensors that it brought, but for those in memory that its client shares, and the outputs that
//! it will have as far as they are known: those of fixed shape, or what the warm-up has shown, whichever is more. Outputs
//! whose size only the backend knows, and what it needs while it computes, are in the model's own charge if its warm-up
//! showed them, and else in none.

use nereid_inference::{CheckedRequest, InferError, ModelIdentity, ModelSource, SharedTicket, Signature, TensorSpec};
use nereid_memory::{MemoryBudget, ModelCharge, Warmed};

use crate::{fingerprint, instances::WantedInstance};

/// What a generation is charged, and how much its requests are.
pub(crate) struct MemoryUse {
    budget: MemoryBudget,
    charge: ModelCharge,
    row_output_bytes: u64,
}

// === impl MemoryUse: the model ===

impl MemoryUse {
    /// Room for a version that is about to be loaded, with these instances. Blocks while another one is measured.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn begin(
        budget: &MemoryBudget,
        source: &ModelSource,
        instances: &[WantedInstance],
    ) -> Result<Self, InferError> {
        // Libraries come with the first model, and more of them with the first one on a GPU.
        let place = if instances.iter().any(|wanted| wanted.gpu().is_some()) { "GPU" } else { "CPU" };
        let runtime = format!("{} on {place}", source.config.backend);
        let files_bytes = fingerprint::files_bytes(source);
        let charge = budget.begin_load(&source.identity, &runtime, (files_bytes, instances.len()))?;
        Ok(Self { budget: budget.clone(), charge, row_output_bytes: 0 })
    }

    pub(crate) fn shared_part_is_loaded(&mut self) {
        self.charge.shared_part_is_loaded();
    }

    /// The version is loaded and warm.
    ///
    /// # Errors
    /// It took more than there is room for.
    pub(crate) fn settle(&mut self, warmed: Warmed, signature: &Signature) -> Result<(), InferError> {
        self.row_output_bytes = warmed.row_output_bytes.max(fixed_output_bytes(signature));
        self.charge.settle(warmed)
    }

    /// Changes the number of instances by `change`: room for more is taken before, and given back after.
    ///
    /// # Errors
    /// There is no room for more, or `change` fails; then there are as many as before.
    pub(crate) fn resized(
        &self,
        instances: usize,
        change: impl FnOnce() -> Result<(), InferError>,
    ) -> Result<(), InferError> {
        let before = self.charge.grow(instances)?;
        let changed = change();
        self.charge.shrink(if changed.is_ok() { instances } else { before });
        changed
    }
}

// === impl MemoryUse: requests ===

impl MemoryUse {
    /// Charges a request until it is executed and answered; the ticket is for the stream of its responses.
    ///
    /// # Errors
    /// There is no room for it now.
    pub(crate) fn admit(
        &self,
        model: &ModelIdentity,
        request: &mut CheckedRequest,
    ) -> Result<SharedTicket, InferError> {
        let bytes = input_bytes(request).saturating_add(self.row_output_bytes.saturating_mul(request.batch_size()));
        let outer = request.get().ticket.clone();
        let ticket = self.budget.admit(model, bytes, outer, || request.get().error_prefix())?;
        request.hold(ticket.clone());
        Ok(ticket)
    }
}

/// Those that are this server's memory.
fn input_bytes(request: &CheckedRequest) -> u64 {
    let own = request.get().inputs.iter().filter(|input| !input.tensor.buffer().is_external());
    own.map(|input| input.tensor.byte_size() as u64).sum()
}

/// The outputs of one row whose size the signature tells.
fn fixed_output_bytes(signature: &Signature) -> u64 {
    signature.outputs.iter().filter_map(fixed_bytes).fold(0, u64::saturating_add)
}

fn fixed_bytes(spec: &TensorSpec) -> Option<u64> {
    let element_bytes = spec.data_type.size_bytes()? as u64;
    let extents = spec.dims.iter().map(|extent| u64::try_from(*extent).ok());
    extents.into_iter().try_fold(element_bytes, |bytes, extent| Some(bytes.saturating_mul(extent?)))
}

#[cfg(test)]
mod tests;
