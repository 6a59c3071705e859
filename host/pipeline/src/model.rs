//! A model that a backend executes.

use std::{sync::Arc, time::Instant};

use nereid_backend::Backend;
use nereid_inference::{
    InferError, InferRequest, ModelConfig, ModelIdentity, ModelSource, ModelStatistics, ResponseStream, ServedModel,
    Signature, response_channel,
};
use nereid_scheduler::{Observer, Scheduler};
use nereid_telemetry::Telemetry;
use tokio::runtime::Handle;

use crate::{
    entrance,
    labels::OutputLabels,
    recorder::{Recorder, ResponseCounter},
    roster::{Maker, Roster},
    scheduling::scheduler_settings,
    warmup::Warmup,
};

/// One generation of a model version behind its scheduler, with the instances that its configuration asks for.
pub(crate) struct BackendModel {
    config: ModelConfig,
    core: Arc<Core>,
}

/// What stays when the instances change.
struct Core {
    identity: ModelIdentity,
    signature: Signature,
    labels: OutputLabels,
    roster: Roster,
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
        let warmup = Warmup::read(&source)?;
        let settings = scheduler_settings(&source)?;
        let loaded = backend.load(&source)?;
        let maker = Maker { loaded, warmup, runtime: runtime.clone() };
        let metrics = telemetry.model(&source.identity, &source.config);
        let recorder = Arc::new(Recorder::new(metrics, source.config.is_decoupled()));
        let observer: Arc<dyn Observer> = recorder.clone();
        let start = |instances| Scheduler::start(settings, instances, observer);
        let roster = Roster::start(&source.config, maker, start)?;
        recorder.loaded(started.elapsed());
        let core = Core { identity: source.identity, signature, labels, roster, recorder };
        Ok(Self { config: source.config, core: Arc::new(core) })
    }
}

impl ServedModel for BackendModel {
    fn identity(&self) -> &ModelIdentity {
        &self.core.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn signature(&self) -> &Signature {
        &self.core.signature
    }

    fn labels(&self, output: &str) -> &[Arc<str>] {
        self.core.labels.of(output)
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        match self.core.signature.check(request) {
            Ok(request) => {
                let (mut sender, stream) = response_channel();
                sender = entrance::trace(&request, &self.core.identity, sender);
                let recorder = &self.core.recorder;
                if recorder.counts_responses() {
                    sender.watch(ResponseCounter::new(recorder.clone(), request.get().received));
                }
                self.core.roster.scheduler().submit(request, sender);
                stream
            }
            Err(error) => ResponseStream::ready(Err(error)),
        }
    }

    fn statistics(&self) -> ModelStatistics {
        let core = &self.core;
        ModelStatistics { memory: core.roster.memory_usage(), ..core.recorder.statistics(&core.identity) }
    }

    fn reconfigured(&self, config: &ModelConfig) -> Result<Option<Arc<dyn ServedModel>>, InferError> {
        self.core.roster.change(config)?;
        Ok(Some(Arc::new(Self { config: config.clone(), core: self.core.clone() })))
    }
}
