//! A loaded plugin and its instances.
//!
//! A plugin that exports `transform` gets each request of a batch in a guest of its own; while one waits for another model,
//! the next one runs. One that exports `model`, or its twin that awaits, has one guest per instance, which gets the batch as a whole. An instance is
//! a task, not a thread: guests give way to others every few milliseconds by themselves.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use nereid_backend::{Batch, ExecuteFuture, Instance, InstanceSpec, LoadedModel, TaskInstance};
use nereid_inference::{CheckedRequest, InferError, InferResponse, MemoryKind, MemoryUsage, config::InstanceKind};
use nereid_plugin::{ModelGuest, Outcome, Plugin, PluginKind, SandboxPool};
use tokio::time::sleep;

use crate::backend::not_a_model;

/// Guests of one instance that run at the same time; as many as it keeps warm.
const CONCURRENT_GUESTS_MAX: usize = 16;

/// How long a guest that waits for another model may go on waiting after its own client left: enough for an answer that
/// is nearly there and for the guest to leave in order.
const CANCELLATION_GRACE: Duration = Duration::from_millis(100);

/// One version of a plugin model.
pub(crate) struct WasmModel {
    plugin: Arc<Plugin>,
}

/// Executes requests one by one.
struct TransformInstance {
    pool: SandboxPool,
}

/// Executes batches.
struct ModelInstance {
    guest: ModelGuest,
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
        let plugin = self.plugin.clone();
        Ok(Instance::Task(match plugin.kind() {
            PluginKind::Transform => Box::new(TransformInstance { pool: SandboxPool::start(plugin, &spec.name)? }),
            PluginKind::Model | PluginKind::AsyncModel => {
                let guest = ModelGuest::start(plugin, &spec.name)?;
                guest.ask_first();
                Box::new(ModelInstance { guest })
            }
            kind @ (PluginKind::Agent | PluginKind::Batching) => return Err(not_a_model(&spec.name, kind)),
        }))
    }

    fn readiness(&self) -> Result<(), InferError> {
        self.plugin.readiness()
    }

    fn retire(&self) {
        self.plugin.retire();
    }

    fn may_repeat_requests(&self) -> bool {
        !self.plugin.reaches_outside()
    }

    fn digest(&self) -> Option<&str> {
        Some(self.plugin.digest())
    }

    fn memory_usage(&self) -> Vec<MemoryUsage> {
        vec![MemoryUsage { kind: MemoryKind::Cpu, device_id: 0, bytes: self.plugin.memory_bytes() }]
    }
}

// === impl TransformInstance ===

impl TransformInstance {
    async fn answer(&self, batch: &Batch) -> Vec<Result<InferResponse, InferError>> {
        let calls: Vec<_> =
            batch.requests().enumerate().map(|(index, request)| self.answer_one(batch, index, request)).collect();
        stream::iter(calls).buffered(CONCURRENT_GUESTS_MAX).collect().await
    }

    /// A guest that computes notices by itself that its client is gone; one that waits for another model is left, which
    /// cancels that model's request too.
    async fn answer_one(
        &self,
        batch: &Batch,
        index: usize,
        request: &CheckedRequest,
    ) -> Result<InferResponse, InferError> {
        tokio::select! {
            biased;
            answer = self.pool.run(request, || batch.is_cancelled(index)) => answer,
            () = abandoned(batch, index) => Err(InferError::cancelled("the client is gone")),
        }
    }
}

async fn abandoned(batch: &Batch, index: usize) {
    batch.cancelled(index).await;
    sleep(CANCELLATION_GRACE).await;
}

impl TaskInstance for TransformInstance {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            batch.mark_inputs_ready();
            let answers = match batch.len() {
                1 => match batch.requests().next() {
                    Some(request) => vec![self.answer_one(batch, 0, request).await],
                    None => vec![],
                },
                _ => self.answer(batch).await,
            };
            batch.mark_outputs_started();
            for (index, answer) in answers.into_iter().enumerate() {
                batch.respond(index, answer);
            }
        })
    }
}

// === impl ModelInstance ===

impl TaskInstance for ModelInstance {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            batch.mark_inputs_ready();
            let senders: Vec<_> = (0..batch.len()).filter_map(|index| batch.take_sender(index)).collect();
            let requests: Vec<&CheckedRequest> = batch.requests().collect();
            let outcomes = self.guest.execute(&requests, senders).await;
            batch.mark_outputs_started();
            for (index, outcome) in outcomes.into_iter().enumerate() {
                match outcome {
                    Outcome::Answered(sender, answer) => {
                        batch.return_sender(index, sender);
                        batch.respond(index, answer);
                    }
                    Outcome::Elsewhere => {}
                    Outcome::Rescheduled(sender, states) => batch.reschedule(index, sender, states),
                }
            }
        })
    }
}
