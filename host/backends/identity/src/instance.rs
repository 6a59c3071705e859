//! Execution: each request's inputs are handed back under the names of the outputs.
//!
//! Cost: a reference count per tensor. On a device, one copy of each that is not there yet. Without a delay the future is ready when it is first polled; with one it waits
//! on the runtime's timer and holds no thread.

use std::{sync::Arc, time::Duration};

use nereid_backend::{Batch, ExecuteFuture, TaskInstance};
use nereid_gpu::Gpu;
use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use nereid_tensor::{DataType, Tensor};

use crate::pairs::EchoPair;

pub(crate) struct IdentityInstance {
    pub(crate) pairs: Arc<[EchoPair]>,
    pub(crate) delay: Option<Duration>,
    /// Where outputs are to be; `None` leaves them where the inputs are.
    pub(crate) gpu: Option<Arc<Gpu>>,
}

// === impl IdentityInstance ===

impl IdentityInstance {
    fn echo(&self, request: &CheckedRequest) -> Result<InferResponse, InferError> {
        let wanted = self.pairs.iter().filter(|pair| request.wants(&pair.output));
        // An optional input that was left out has no output.
        let outputs = wanted.filter_map(|pair| {
            let placed = self.placed(request.input(&pair.input)?);
            Some(placed.map(|tensor| NamedTensor::new(pair.output.clone(), tensor)))
        });
        Ok(InferResponse::new(outputs.collect::<Result<_, _>>()?))
    }

    /// The tensor where outputs are to be. Strings stay on the host.
    fn placed(&self, tensor: &Tensor) -> Result<Tensor, InferError> {
        let is_there = |gpu: &Gpu| tensor.buffer().device().is_some_and(|span| span.device_id == gpu.ordinal());
        match &self.gpu {
            Some(gpu) if tensor.data_type() != DataType::Bytes && !is_there(gpu) => {
                let failed =
                    |error: String| InferError::internal(format!("the input could not be put onto a GPU: {error}"));
                let uploaded = gpu.upload(tensor.buffer()).map_err(|error| failed(error.to_string()))?;
                Tensor::new(tensor.data_type(), tensor.shape().clone(), uploaded.into_buffer())
                    .map_err(|error| failed(error.to_string()))
            }
            _ => Ok(tensor.clone()),
        }
    }

    fn answer(&self, batch: &mut Batch) {
        batch.mark_outputs_started();
        let responses: Vec<_> = batch.requests().map(|request| self.echo(request)).collect();
        for (index, response) in responses.into_iter().enumerate() {
            batch.respond(index, response);
        }
    }
}

impl TaskInstance for IdentityInstance {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            batch.mark_inputs_ready();
            if let Some(delay) = self.delay {
                tokio::time::sleep(delay).await;
            }
            self.answer(batch);
        })
    }

    fn takes_device_memory(&self) -> bool {
        true
    }
}
