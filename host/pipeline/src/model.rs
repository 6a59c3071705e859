//! A model that a backend executes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use nereid_backend::Backend;
use nereid_inference::{
    CheckedRequest, DecisionLog, Generation, InferError, InferRequest, LoadStep, ModelConfig, ModelIdentity,
    ModelSource, ModelStatistics, Reshapes, ResponseObserver, ResponseSender, ResponseStream, SequenceId, ServedModel,
    Signature, SwapGuardSettings, Tally, response_channel,
};
use nereid_memory::HugePages;
use nereid_scheduler::{Observer, Scheduler, SchedulerSettings, on_cores};
use parking_lot::Mutex;

use crate::{
    caching::{Caching, Executor},
    decisions::Decisions,
    entrance,
    fingerprint::VersionFiles,
    instances::{description, shared_cores, wanted_instances},
    kept_requests::{Keeper, Shelf},
    labels::OutputLabels,
    loader::LoaderSettings,
    memory_use::MemoryUse,
    recorder::{Recorder, ResponseCounter},
    roster::{Maker, Roster},
    scheduling::scheduler_settings,
    strategy, swap_guard,
    warmup::Warmup,
};

/// One generation of a model version behind its scheduler, with the instances that its configuration asks for.
pub(crate) struct BackendModel {
    config: ModelConfig,
    core: Arc<Core>,
    is_retired: AtomicBool,
}

/// What stays when the instances change.
struct Core {
    identity: ModelIdentity,
    /// How many that have it may still be routed to: one for each configuration of its instances.
    routed: AtomicUsize,
    signature: Signature,
    reshapes: Option<Arc<Reshapes>>,
    labels: OutputLabels,
    roster: Roster,
    recorder: Arc<Recorder>,
    /// How it is watched when it takes another generation's place.
    guard: Option<SwapGuardSettings>,
    has_sequences: bool,
    /// Keeps requests for the generation after it, when the model keeps any.
    keeper: Option<Keeper>,
    /// Answers that are kept, when the model keeps any.
    caching: Option<Arc<Caching>>,
    /// Where a store is shared with other processes.
    files: Option<VersionFiles>,
    /// What it is charged where there is a budget. After the instances, so that they are gone before it is.
    memory: Option<MemoryUse>,
}

// === impl BackendModel ===

impl BackendModel {
    /// Loads the version, makes its instances and starts its scheduler.
    ///
    /// Must be called within the loader's runtime, which is to execute task instances, and on none of its workers.
    pub(crate) fn load(
        source: ModelSource,
        backend: &dyn Backend,
        (loader, shelf): (&LoaderSettings, Arc<Shelf>),
    ) -> Result<Self, InferError> {
        let started = Instant::now();
        let guard = swap_guard::settings(&source.config, backend.guards_swaps())?;
        let signature = Signature::from_config(&source.config)?;
        let reshapes = Reshapes::of(&source.config);
        let (labels, warmup) = (OutputLabels::read(&source)?, Warmup::read(&source)?);
        let LoaderSettings { telemetry, rules, runtime, limits, cache, memory, .. } = loader;
        let settings = SchedulerSettings {
            rate_limiter: rules.rate_limiter.clone(),
            strategy: strategy::load(loader.strategies.as_ref(), &source, backend.name())?,
            ..scheduler_settings(&source)?
        };
        let files = cache.as_ref().and_then(|cache| cache.look(&source));
        let preserve_order = settings.preserve_order;
        let wanted = wanted_instances(&source.config)?;
        rules.gpus.admit(&source.identity.name, wanted.iter().map(|wanted| &wanted.spec))?;
        let mut memory = memory.as_ref().map(|budget| MemoryUse::begin(budget, &source, &wanted)).transpose()?;
        let mapped = loader.huge_pages.as_ref().filter(|_| backend.keeps_weights()).map(HugePages::mapped);
        // What a backend shares between instances, threads of a library for example, works where they do.
        let loaded = on_cores(shared_cores(&wanted, &rules.host_policies)?.as_ref(), || {
            let _within = runtime.enter();
            source.clock.time(LoadStep::Load, || backend.load(&source))
        })??;
        memory.iter_mut().for_each(MemoryUse::shared_part_is_loaded);
        let warmup = warmup.with_traffic(shelf.requests(), &source)?;
        let keeper = Keeper::new(shelf, &source.config, (loaded.may_repeat_requests(), limits.kept_request_bytes_max))?;
        let recorder = recorder(loader, &source, guard.as_ref());
        settings.strategy.iter().for_each(|_| recorder.count_strategy());
        let observer: Arc<dyn Observer> = recorder.clone();
        let maker = Maker {
            loaded,
            warmup,
            rules: rules.clone(),
            recorder: recorder.clone(),
            telemetry: telemetry.clone(),
            runtime: runtime.clone(),
            warmed: Mutex::default(),
            clock: source.clock.clone(),
        };
        let described = description(&wanted);
        let roster = Roster::start(wanted, maker, |instances| Scheduler::start(settings, instances, observer))?;
        memory.iter_mut().try_for_each(|memory| memory.settle(roster.warmed(), &signature))?;
        let caching = cache.as_ref().filter(|_| source.config.caches_responses()).map(|cache| {
            let fingerprint = files.as_ref().and_then(VersionFiles::fingerprint);
            cache.begin((&source.identity, fingerprint), &recorder, preserve_order)
        });
        mapped.into_iter().for_each(|mapped| mapped.gather_since(format!("model '{}'", source.identity)));
        recorder.loaded(started.elapsed());
        tracing::info!("{} has {}", source.identity, described);
        let core = Core {
            identity: source.identity,
            routed: AtomicUsize::new(1),
            signature,
            reshapes,
            labels,
            roster,
            recorder,
            guard,
            has_sequences: source.config.sequences().is_some(),
            keeper,
            caching,
            files,
            memory,
        };
        Ok(Self { config: source.config, core: Arc::new(core), is_retired: AtomicBool::new(false) })
    }
}

/// What counts for the version, and for how long it remembers.
fn recorder(loader: &LoaderSettings, source: &ModelSource, guard: Option<&SwapGuardSettings>) -> Arc<Recorder> {
    let metrics = loader.telemetry.model(&source.identity, &source.config);
    let decisions = Decisions::new(source.identity.clone(), loader.limits.decisions_max);
    let recorder = Recorder::new(metrics, source.config.is_decoupled()).keeping(decisions);
    Arc::new(recorder.watched(guard.map(|guard| guard.window)))
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

    fn infer(&self, mut request: InferRequest) -> ResponseStream {
        if let Some(caching) = &self.core.caching
            && let Err(error) = caching.prepare(&mut request)
        {
            return ResponseStream::ready(Err(error));
        }
        let received = request.received;
        match self.core.signature.check(request) {
            Ok(mut request) => {
                let (sender, stream) = response_channel();
                let mut sender = entrance::trace(&request, &self.core.identity, sender);
                let observer = self.core.observer(&request);
                if let Err(error) = entrance::reshape(self.core.reshapes.as_ref(), &mut request, &mut sender) {
                    sender.respond(Err(error));
                    return stream;
                }
                if let Some(observer) = observer {
                    sender.watch(observer);
                }
                let recorder = &self.core.recorder;
                let stream = match &self.core.memory {
                    None => stream,
                    Some(memory) => match memory.admit(&self.core.identity, &mut request) {
                        Ok(ticket) => stream.holding(ticket),
                        Err(error) => {
                            recorder.refused(request.get().received.elapsed());
                            sender.respond(Err(error));
                            return stream;
                        }
                    },
                };
                match &self.core.caching {
                    None => self.core.execute(request, sender),
                    Some(caching) => caching.serve(self.core.clone(), request, sender),
                }
                stream
            }
            Err(error) => {
                self.core.recorder.unfit(received.elapsed());
                ResponseStream::ready(Err(error))
            }
        }
    }

    fn readiness(&self) -> Result<(), InferError> {
        self.core.roster.readiness()
    }

    fn retire(&self) {
        if !self.is_retired.swap(true, Relaxed) && self.core.routed.fetch_sub(1, Relaxed) == 1 {
            self.core.roster.retire();
        }
    }

    fn statistics(&self) -> ModelStatistics {
        let core = &self.core;
        ModelStatistics { memory: core.roster.memory_usage(), ..core.recorder.statistics(&core.identity) }
    }

    fn decisions(&self) -> DecisionLog {
        self.core.recorder.decisions()
    }

    fn fingerprint(&self) -> Option<[u8; 32]> {
        self.core.files.as_ref()?.fingerprint()
    }

    fn generation(&self) -> Option<&dyn Generation> {
        let core = &*self.core;
        (core.guard.is_some() || core.has_sequences || core.digest().is_some()).then_some(core)
    }

    fn reconfigured(&self, config: &ModelConfig) -> Result<Option<Arc<dyn ServedModel>>, InferError> {
        let wanted = wanted_instances(config)?;
        let change = || self.core.roster.change(config);
        match &self.core.memory {
            None => change()?,
            Some(memory) => memory.resized(wanted.len(), change)?,
        }
        tracing::info!("{} now has {}", self.core.identity, description(&wanted));
        self.core.routed.fetch_add(1, Relaxed);
        let is_retired = AtomicBool::new(false);
        Ok(Some(Arc::new(Self { config: config.clone(), core: self.core.clone(), is_retired })))
    }
}

// === impl Core ===

impl Core {
    /// Who is told of the responses of a request.
    fn observer(&self, request: &CheckedRequest) -> Option<Arc<dyn ResponseObserver>> {
        let counter = self.recorder.counts_responses().then(|| -> Arc<dyn ResponseObserver> {
            ResponseCounter::new(self.recorder.clone(), request.get().received)
        });
        match &self.keeper {
            None => counter,
            Some(keeper) => keeper.watch(request, counter),
        }
    }
}

impl Generation for Core {
    fn guard(&self) -> Option<SwapGuardSettings> {
        self.guard
    }

    fn recent(&self, now: Instant) -> Tally {
        self.recorder.recent(now)
    }

    fn digest(&self) -> Option<&str> {
        self.roster.digest()
    }

    fn has_open_sequence(&self, id: Option<&SequenceId>) -> bool {
        self.has_sequences && self.roster.scheduler().has_open_sequence(id)
    }
}

impl Executor for Core {
    fn execute(&self, request: CheckedRequest, sender: ResponseSender) {
        self.roster.scheduler().submit(request, sender);
    }
}
