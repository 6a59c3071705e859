//! Execution: each request's inputs are handed back under the names of the outputs.
//!
//! Cost: a reference count per tensor. Without a delay the future is ready when it is first polled; with one it waits
//! on the runtime's timer and holds no thread.

use std::{sync::Arc, time::Duration};

use nereid_backend::{Batch, ExecuteFuture, TaskInstance};
use nereid_inference::{CheckedRequest, InferResponse, NamedTensor};

use crate::pairs::EchoPair;

pub(crate) struct IdentityInstance {
    pub(crate) pairs: Arc<[EchoPair]>,
    pub(crate) delay: Option<Duration>,
}

// === impl IdentityInstance ===

impl IdentityInstance {
    fn echo(&self, request: &CheckedRequest) -> InferResponse {
        let wanted = self.pairs.iter().filter(|pair| request.wants(&pair.output));
        // An optional input that was left out has no output.
        let outputs = wanted.filter_map(|pair| {
            let tensor = request.input(&pair.input)?.clone();
            Some(NamedTensor::new(pair.output.clone(), tensor))
        });
        InferResponse::new(outputs.collect())
    }

    fn answer(&self, batch: &mut Batch) {
        batch.mark_outputs_started();
        let responses: Vec<InferResponse> = batch.requests().map(|request| self.echo(request)).collect();
        for (index, response) in responses.into_iter().enumerate() {
            batch.respond(index, Ok(response));
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
