//! A backend for tests: echoes its inputs under the names of its outputs, and fails, waits, forgets or hands requests back on
//! demand.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use nereid_inference::{
    CheckedRequest, InferError, InferResponse, ModelConfig, ModelSource, NamedTensor, SequenceId, Signature,
};

use crate::{Backend, Batch, BlockingInstance, ExecuteFuture, Instance, InstanceSpec, LoadedModel, TaskInstance};

/// How the fake behaves; every instance alike.
#[derive(Clone, Debug, Default)]
pub struct FakeBehaviour {
    /// Computation time of one execution.
    pub compute: Duration,
    /// Executes on a thread instead of as a future.
    pub blocking: bool,
    /// Every request fails with this text.
    pub failure: Option<String>,
    /// Requests are left unanswered.
    pub forgets: bool,
    /// Panics instead of executing.
    pub panics: bool,
    /// Answers each request this many times, through its own sender, and ends the stream without a further response.
    pub streams: Option<u64>,
    /// While this is set the model says that it is not ready.
    pub unready: Arc<AtomicBool>,
    /// How many instances were made.
    pub instances_made: Arc<AtomicUsize>,
    /// Executions that are under way, and the most that ever were.
    pub executing: Arc<AtomicUsize>,
    pub executing_max: Arc<AtomicUsize>,
    /// Executes each request this many times before it is done with it, and hands it back until then.
    pub executions: Option<u64>,
}

/// The backend called `fake`.
#[derive(Clone, Debug, Default)]
pub struct FakeBackend {
    pub behaviour: FakeBehaviour,
}

struct FakeModel {
    behaviour: FakeBehaviour,
    signature: Signature,
}

/// One instance; public so that a scheduler's tests need no configuration.
#[derive(Clone, Debug, Default)]
pub struct FakeInstance {
    pub behaviour: FakeBehaviour,
    /// Input `i` is echoed as output `i`.
    pub outputs: Vec<Arc<str>>,
    /// How often the request of each sequence was executed that it is not done with.
    pub executed: HashMap<Option<SequenceId>, u64>,
}

// === impl FakeBackend ===

impl Backend for FakeBackend {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn default_model_filename(&self) -> &'static str {
        ""
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        Ok(source.config.clone())
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        let signature = Signature::of_backend(&source.config)?;
        Ok(Arc::new(FakeModel { behaviour: self.behaviour.clone(), signature }))
    }

    fn supports_decoupled(&self) -> bool {
        !self.behaviour.blocking
    }
}

// === impl FakeModel ===

impl LoadedModel for FakeModel {
    fn new_instance(&self, _spec: &InstanceSpec) -> Result<Instance, InferError> {
        self.behaviour.instances_made.fetch_add(1, Ordering::Relaxed);
        let outputs = self.signature.outputs.iter().map(|output| output.name.clone()).collect();
        Ok(FakeInstance { behaviour: self.behaviour.clone(), outputs, ..FakeInstance::default() }.into_instance())
    }

    fn readiness(&self) -> Result<(), InferError> {
        match self.behaviour.unready.load(Ordering::Relaxed) {
            true => Err(InferError::unavailable("the fake was told not to be ready")),
            false => Ok(()),
        }
    }
}

// === impl FakeInstance ===

impl FakeInstance {
    /// As the kind of instance that its behaviour asks for.
    pub fn into_instance(self) -> Instance {
        match self.behaviour.blocking {
            true => Instance::Blocking(Box::new(self)),
            false => Instance::Task(Box::new(self)),
        }
    }

    fn answer(&mut self, batch: &mut Batch) {
        assert!(!self.behaviour.panics, "the fake was told to panic");
        batch.mark_inputs_ready();
        let executing = self.behaviour.executing.fetch_add(1, Ordering::SeqCst) + 1;
        self.behaviour.executing_max.fetch_max(executing, Ordering::SeqCst);
        thread::sleep(self.behaviour.compute);
        self.behaviour.executing.fetch_sub(1, Ordering::SeqCst);
        batch.mark_outputs_started();
        if self.behaviour.forgets {
            return;
        }
        if let Some(failure) = &self.behaviour.failure {
            return batch.fail_all(&InferError::internal(failure.clone()));
        }
        let responses: Vec<InferResponse> = batch.requests().map(|request| self.echo(&request.get().inputs)).collect();
        let again = self.executed_again(batch);
        for ((index, response), again) in responses.into_iter().enumerate().zip(again) {
            match again.then(|| batch.take_sender(index)).flatten() {
                Some(sender) => batch.reschedule(index, sender, response),
                None => batch.respond(index, Ok(response)),
            }
        }
    }

    async fn stream(&mut self, batch: &mut Batch, responses: u64) {
        let echoes: Vec<InferResponse> = batch.requests().map(|request| self.echo(&request.get().inputs)).collect();
        let again = self.executed_again(batch);
        for ((index, echo), again) in echoes.into_iter().enumerate().zip(again) {
            let Some(mut sender) = batch.take_sender(index) else { continue };
            for _ in 0..responses {
                sender.send(Ok(echo.clone())).await;
            }
            match again {
                true => batch.reschedule(index, sender, echo),
                false => sender.finish(),
            }
        }
    }

    /// Counts an execution of every request; says which of them need another one.
    fn executed_again(&mut self, batch: &Batch) -> Vec<bool> {
        batch.requests().map(|request| self.is_executed_again(request)).collect()
    }

    fn is_executed_again(&mut self, request: &CheckedRequest) -> bool {
        let id = request.get().sequence.as_ref().map(|flags| flags.id.clone());
        let executed = self.executed.get(&id).copied().unwrap_or(0) + 1;
        let again = self.behaviour.executions.is_some_and(|wanted| executed < wanted);
        match again {
            true => self.executed.insert(id, executed),
            false => self.executed.remove(&id),
        };
        again
    }

    fn echo(&self, inputs: &[NamedTensor]) -> InferResponse {
        let outputs = self.outputs.iter().zip(inputs);
        InferResponse::new(outputs.map(|(name, input)| NamedTensor::new(name.clone(), input.tensor.clone())).collect())
    }
}

impl BlockingInstance for FakeInstance {
    fn execute(&mut self, batch: &mut Batch) {
        self.answer(batch);
    }
}

impl TaskInstance for FakeInstance {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            match self.behaviour.streams {
                Some(responses) => self.stream(batch, responses).await,
                None => self.answer(batch),
            }
        })
    }
}
