//! A loaded plugin and its instances.
//!
//! Each request of a batch runs in a guest of its own; while one waits for another model, the next one runs. An instance is a
//! task, not a thread: guests give way to others every few milliseconds by themselves.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use nereid_backend::{Batch, ExecuteFuture, Instance, InstanceSpec, LoadedModel, TaskInstance};
use nereid_inference::{InferError, InferResponse, config::InstanceKind};
use nereid_plugin::{Plugin, SandboxPool};

/// Guests of one instance that run at the same time; as many as it keeps warm.
const CONCURRENT_GUESTS_MAX: usize = 16;

/// One version of a plugin model.
pub(crate) struct WasmModel {
    plugin: Arc<Plugin>,
}

struct WasmInstance {
    pool: SandboxPool,
}

// === impl WasmModel ===

impl WasmModel {
    pub(crate) fn new(plugin: Arc<Plugin>) -> Self {
        Self { plugin }
    }
}

impl LoadedModel for WasmModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        if spec.kind == InstanceKind::Gpu {
            let text = format!("instance '{}' is of KIND_GPU, but plugins run on the CPU: use KIND_CPU", spec.name);
            return Err(InferError::invalid_argument(text));
        }
        let pool = SandboxPool::start(self.plugin.clone())?;
        Ok(Instance::Task(Box::new(WasmInstance { pool })))
    }
}

// === impl WasmInstance ===

impl WasmInstance {
    async fn answer(&self, batch: &Batch) -> Vec<Result<InferResponse, InferError>> {
        let mut calls = Vec::with_capacity(batch.len());
        for (index, request) in batch.requests().enumerate() {
            calls.push(self.pool.run(request, move || batch.is_cancelled(index)));
        }
        stream::iter(calls).buffered(CONCURRENT_GUESTS_MAX).collect().await
    }

    /// The common case, without the machinery for many.
    async fn answer_one(&self, batch: &Batch) -> Option<Result<InferResponse, InferError>> {
        let request = batch.requests().next()?;
        Some(self.pool.run(request, || batch.is_cancelled(0)).await)
    }
}

impl TaskInstance for WasmInstance {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            batch.mark_inputs_ready();
            let answers = match batch.len() {
                1 => self.answer_one(batch).await.into_iter().collect(),
                _ => self.answer(batch).await,
            };
            batch.mark_outputs_started();
            for (index, answer) in answers.into_iter().enumerate() {
                batch.respond(index, answer);
            }
        })
    }
}
