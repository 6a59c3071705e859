//! Where an operation runs, and who pays for it.
//!
//! What is done within some tens of microseconds runs where the guest runs; longer work goes elsewhere. What bounds it are the
//! limits of the operations themselves. A guest that is gone leaves its operation to end alone, and to nobody's memory.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use nereid_inference::InferError;
use nereid_operations::{Budget, Fault, OperationError};
use nereid_tensor::Tensor;
use wasmtime::component::Resource;

use crate::{
    account::Charge, bindings::nereid::plugin::types::Error, convert, state::PluginState, tensor_handle::TensorHandle,
};

/// Bytes, times passes over them, up to which an operation runs where the guest runs: at a gigabyte per second 64 µs, a few times
/// what handing work to another thread and back costs.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// How long an operation takes, roughly.
#[derive(Clone, Copy)]
pub(super) enum Weight {
    /// Nothing is read.
    Nothing,
    /// So many passes over the operands and a result.
    Passes { count: u64, result_bytes: u64 },
    /// Longer than its operands show.
    Heavy,
}

/// The tensors that an operation reads, of a kind `T` of collection, and what keeps their memory paid for.
pub(super) struct Operands<T> {
    pub(super) tensors: T,
    pub(super) charges: Vec<Paid>,
    bytes: u64,
}

/// Memory that is paid for already, or free: a result that lies in it costs nothing.
pub(super) struct Paid {
    memory: std::ops::Range<usize>,
    charge: Option<Arc<Charge>>,
}

// === impl Weight ===

impl Weight {
    pub(super) const PASS: Self = Self::passes(1);

    pub(super) const fn passes(count: u64) -> Self {
        Self::Passes { count, result_bytes: 0 }
    }

    fn is_light(self, operand_bytes: u64) -> bool {
        match self {
            Self::Nothing => true,
            Self::Passes { count, result_bytes } => {
                operand_bytes.saturating_add(result_bytes).saturating_mul(count) <= INLINE_BYTES_MAX
            }
            Self::Heavy => false,
        }
    }
}

// === impl PluginState ===

impl PluginState {
    /// The first step of every operation: counts, and takes the tensors behind the handles.
    pub(super) fn operands<const N: usize>(
        &mut self,
        import: &'static str,
        handles: [&Resource<TensorHandle>; N],
    ) -> wasmtime::Result<Operands<[Tensor; N]>> {
        let list = self.take_operands(import, &mut handles.into_iter())?;
        let found = list.tensors.len();
        let tensors = list.tensors.try_into();
        let tensors = tensors.map_err(|_| wasmtime::format_err!("{found} operands instead of {N}"))?;
        Ok(Operands { tensors, charges: list.charges, bytes: list.bytes })
    }

    pub(super) fn operand_list(
        &mut self,
        import: &'static str,
        handles: &[Resource<TensorHandle>],
    ) -> wasmtime::Result<Operands<Vec<Tensor>>> {
        self.take_operands(import, &mut handles.iter())
    }

    fn take_operands(
        &mut self,
        import: &'static str,
        handles: &mut dyn Iterator<Item = &Resource<TensorHandle>>,
    ) -> wasmtime::Result<Operands<Vec<Tensor>>> {
        self.enter(import)?;
        let mut operands = Operands { tensors: Vec::new(), charges: Vec::new(), bytes: 0 };
        for handle in handles {
            let (tensor, charge) = self.tensor_mut(handle)?.share()?;
            let bytes = tensor.buffer().as_slice().as_ptr_range();
            operands.bytes += tensor.byte_size() as u64;
            operands.charges.push(Paid { memory: bytes.start as usize..bytes.end as usize, charge });
            operands.tensors.push(tensor);
        }
        Ok(operands)
    }

    /// Does the work, and gives the guest its only result.
    pub(super) async fn operate_one<O: Clone + Send + 'static>(
        &mut self,
        operands: Operands<O>,
        weight: Weight,
        work: impl FnOnce(O, Budget) -> Result<Tensor, OperationError> + Send + 'static,
    ) -> wasmtime::Result<Result<Resource<TensorHandle>, Error>> {
        let done = self.operate(&operands, weight, work).await?;
        let kept = done.and_then(|tensor| self.keep_result(&operands.charges, tensor));
        Ok(kept.map_err(convert::error))
    }

    /// Does the work, here or elsewhere.
    pub(super) async fn operate<O: Clone + Send + 'static, R: Send + 'static>(
        &mut self,
        operands: &Operands<O>,
        weight: Weight,
        work: impl FnOnce(O, Budget) -> Result<R, OperationError> + Send + 'static,
    ) -> wasmtime::Result<Result<R, InferError>> {
        let budget = Budget::new(self.call.account.left());
        let tensors = operands.tensors.clone();
        let work = move || caught(|| work(tensors, budget));
        let stays = weight.is_light(operands.bytes) || self.may_block();
        let done = if stays { work() } else { self.compute_elsewhere(work).await? };
        self.check_clocks()?;
        Ok(done.inspect_err(|error| self.note_refusal(error)))
    }

    /// Gives the guest a result. A view of an operand is paid for as the operand is.
    pub(super) fn keep_result(
        &mut self,
        operands: &[Paid],
        tensor: Tensor,
    ) -> Result<Resource<TensorHandle>, InferError> {
        let bytes = tensor.buffer().as_slice().as_ptr_range();
        let (start, end) = (bytes.start as usize, bytes.end as usize);
        let made = match operands.iter().find(|paid| paid.memory.start <= start && end <= paid.memory.end) {
            Some(paid) => Ok(TensorHandle::view(tensor, paid.charge.clone())),
            None => TensorHandle::received(tensor, &self.call.account),
        };
        self.keep(made)
    }

    /// Gives the guest several results, or none of them.
    pub(super) fn keep_all(
        &mut self,
        operands: &[Paid],
        tensors: Vec<Tensor>,
    ) -> Result<Vec<Resource<TensorHandle>>, InferError> {
        let mut kept = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            match self.keep_result(operands, tensor) {
                Ok(handle) => kept.push(handle),
                Err(error) => {
                    kept.iter().for_each(|handle: &Resource<TensorHandle>| drop(self.tensors.remove(handle.rep())));
                    return Err(error);
                }
            }
        }
        Ok(kept)
    }
}

/// A panic of a library that reads what clients sent is an error like any other; nothing that it touched is used again.
pub(super) fn caught<R>(work: impl FnOnce() -> Result<R, OperationError>) -> Result<R, InferError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(infer_error),
        Err(panic) => Err(InferError::internal(format!("an operation panicked: {}", panic_text(panic.as_ref())))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn infer_error(error: OperationError) -> InferError {
    match error.fault() {
        Fault::Argument => InferError::invalid_argument(error.to_string()),
        Fault::Limit => InferError::resource_exhausted(error.to_string()),
    }
}
