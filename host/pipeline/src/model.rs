//! A model that a backend executes.

use std::{sync::Arc, time::Instant};

use nereid_backend::{Backend, LoadedModel};
use nereid_inference::{
    InferError, InferRequest, ModelConfig, ModelIdentity, ModelSource, ModelStatistics, ResponseStream, ServedModel,
    Signature, response_channel,
};
use nereid_scheduler::{Observer, Scheduler};
use nereid_telemetry::Telemetry;
use tokio::runtime::Handle;

use crate::{
    instances::instance_specs,
    labels::OutputLabels,
    recorder::{Recorder, ResponseCounter},
    scheduling::scheduler_settings,
    warmup::Warmup,
};

/// One generation of a model version behind its scheduler.
pub(crate) struct BackendModel {
    identity: ModelIdentity,
    config: ModelConfig,
    signature: Signature,
    labels: OutputLabels,
    loaded: Arc<dyn LoadedModel>,
    scheduler: Scheduler,
    recorder: Arc<Recorder>,
}

// === impl BackendModel ===

impl BackendModel {
    /// Loads the version, makes its instances and starts its scheduler.
    ///
    /// Must be called within `runtime`, which is to execute task instances, and on none of its workers.
    pub(crate) fn load(
        source: ModelSource,
        backend: &dyn Backend,
        telemetry: &Arc<Telemetry>,
        runtime: &Handle,
    ) -> Result<Self, InferError> {
        let started = Instant::now();
        let signature = Signature::from_config(&source.config)?;
        let labels = OutputLabels::read(&source)?;
        let warmup = Warmup::read(&source, &signature)?;
        let loaded = backend.load(&source)?;
        let mut instances = Vec::new();
        for spec in instance_specs(&source.config)? {
            let mut instance = loaded.new_instance(&spec)?;
            warmup.run(&mut instance, runtime)?;
            instances.push((spec.name, instance));
        }
        let metrics = telemetry.model(&source.identity, &source.config);
        let recorder = Arc::new(Recorder::new(metrics, source.config.is_decoupled()));
        let observer: Arc<dyn Observer> = recorder.clone();
        let scheduler = Scheduler::start(scheduler_settings(&source.config), instances, observer)?;
        recorder.loaded(started.elapsed());
        Ok(Self { identity: source.identity, config: source.config, signature, labels, loaded, scheduler, recorder })
    }
}

impl ServedModel for BackendModel {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn labels(&self, output: &str) -> &[Arc<str>] {
        self.labels.of(output)
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        match self.signature.check(request) {
            Ok(request) => {
                let (mut sender, stream) = response_channel();
                if self.recorder.counts_responses() {
                    sender.watch(ResponseCounter::new(self.recorder.clone(), request.get().received));
                }
                self.scheduler.submit(request, sender);
                stream
            }
            Err(error) => ResponseStream::ready(Err(error)),
        }
    }

    fn statistics(&self) -> ModelStatistics {
        ModelStatistics { memory: self.loaded.memory_usage(), ..self.recorder.statistics(&self.identity) }
    }
}
