//! A model made of models: tensors flow along a graph whose steps run as soon as their inputs are there.
//!
//! Edges share tensors, they never copy. Only the steps that the requested outputs need are run. When the client goes,
//! what has not run does not run, and what runs is cancelled. An ensemble is decoupled when one of its members is: each
//! response of that member goes on through the steps after it.

mod journey;
mod plan;
mod regions;
mod run;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use nereid_backend::Timeline;
use nereid_inference::{
    Activity, CheckedRequest, ErrorKind, InferError, InferRequest, InferResponse, ModelConfig, ModelIdentity,
    ModelSource, ModelStatistics, Reshapes, ResponseSender, ResponseStream, ServedModel, ServiceHandle, Signature,
    config::{EnsembleStep, TransactionPolicy},
    response_channel,
};
use nereid_scheduler::{ExecutionRecord, FailureReason, Observer, Outcome, RequestRecord, run_here_or_spawn};
use tokio::{runtime::Handle, sync::Semaphore};

use self::{
    journey::JourneyLimits,
    plan::{Member, Plan},
    run::Flow,
};
use crate::{
    PipelineLimits,
    caching::{Caching, Executor},
    entrance,
    fingerprint::{self, Fingerprint},
    labels::OutputLabels,
    loader::LoaderSettings,
    recorder::{Recorder, ResponseCounter},
};

/// One loaded generation of an ensemble.
pub(crate) struct Ensemble {
    config: ModelConfig,
    signature: Signature,
    /// Its own tensors have two forms too: one for clients, one inside the graph.
    reshapes: Option<Arc<Reshapes>>,
    labels: OutputLabels,
    runtime: Handle,
    shared: Arc<Shared>,
    /// Answers that are kept, when the ensemble keeps any.
    caching: Option<Arc<Caching>>,
    /// Where a store is shared with other processes.
    fingerprint: Option<Fingerprint>,
}

/// What a request under way keeps alive.
struct Shared {
    identity: ModelIdentity,
    plan: Plan,
    service: ServiceHandle,
    flow: Flow,
    recorder: Arc<Recorder>,
    /// What the members were when the ensemble was loaded, step by step; empty where no store is shared.
    members: Vec<Fingerprint>,
}

/// Begins requests that the cache does not answer.
struct Start {
    runtime: Handle,
    shared: Arc<Shared>,
}

// === impl Ensemble ===

impl Ensemble {
    /// Validates the graph against the members, which must be ready.
    pub(crate) fn load(mut source: ModelSource, loader: &LoaderSettings) -> Result<Self, InferError> {
        let started = Instant::now();
        let LoaderSettings { telemetry, service, runtime, limits, cache, .. } = loader;
        let signature = Signature::from_config(&source.config)?;
        let mut labels = OutputLabels::read(&source)?;
        let find_member = |name: &str, version| Ok(Member::of_model(&*service.get()?.model(name, version)?));
        let plan = Plan::build(&source.config, &Signature::of_backend(&source.config)?, &find_member)?;
        let reshapes = Reshapes::of(&source.config);
        let config_of = |name: &str| Some(service.get().ok()?.model(name, None).ok()?.config().clone());
        refuse_kept_sequences(&source.config, &config_of)?;
        refuse_kept_streams(&source.config, &plan)?;
        inherit_labels(&mut labels, &plan, service)?;
        // The members decide it, whatever the configuration says.
        source.config.transaction_policy = Some(TransactionPolicy { decoupled: plan.is_decoupled() });
        let metrics = telemetry.model(&source.identity, &source.config);
        let recorder = Arc::new(Recorder::new(metrics, plan.is_decoupled()));
        let cache = cache.as_ref();
        let members = cache.filter(|cache| cache.is_shared()).and_then(|_| fingerprints(&plan, service));
        let fingerprint = members.as_ref().map(|members| fingerprint::of_ensemble(&source.config, members));
        let caching = cache.filter(|_| source.config.caches_responses());
        let caching = caching.map(|cache| cache.begin((&source.identity, fingerprint), &recorder, false));
        recorder.loaded(started.elapsed());
        let (members, flow) = (members.unwrap_or_default(), flow(&source.config, limits));
        let (service, runtime) = (service.clone(), runtime.clone());
        let shared = Arc::new(Shared { identity: source.identity, plan, service, flow, recorder, members });
        Ok(Self { config: source.config, signature, reshapes, labels, runtime, shared, caching, fingerprint })
    }

    /// Validates the graph against configurations alone.
    pub(crate) fn validate(
        config: &ModelConfig,
        peers: &dyn Fn(&str) -> Option<ModelConfig>,
    ) -> Result<(), InferError> {
        let find_member = |name: &str, _version| match peers(name) {
            Some(peer) => Member::of_config(&peer, peers),
            None => Err(InferError::not_found(format!("Request for unknown model: '{name}' is not found"))),
        };
        let plan = Plan::build(config, &Signature::of_backend(config)?, &find_member)?;
        refuse_kept_streams(config, &plan)?;
        refuse_kept_sequences(config, peers)
    }
}

impl ServedModel for Ensemble {
    fn identity(&self) -> &ModelIdentity {
        &self.shared.identity
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

    fn infer(&self, mut request: InferRequest) -> ResponseStream {
        if let Some(caching) = &self.caching
            && let Err(error) = caching.prepare(&mut request)
        {
            return ResponseStream::ready(Err(error));
        }
        match self.signature.check(request) {
            Ok(mut request) => {
                let (sender, stream) = response_channel();
                let mut sender = entrance::trace(&request, &self.shared.identity, sender);
                if let Err(error) = entrance::reshape(self.reshapes.as_ref(), &mut request, &mut sender) {
                    sender.respond(Err(error));
                    return stream;
                }
                let recorder = &self.shared.recorder;
                if recorder.counts_responses() {
                    sender.watch(ResponseCounter::new(recorder.clone(), request.get().received));
                }
                let start = Start { runtime: self.runtime.clone(), shared: self.shared.clone() };
                match &self.caching {
                    None => start.execute(request, sender),
                    Some(caching) => caching.serve(Arc::new(start), request, sender),
                }
                stream
            }
            Err(error) => ResponseStream::ready(Err(error)),
        }
    }

    fn statistics(&self) -> ModelStatistics {
        self.shared.recorder.statistics(&self.shared.identity)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }
}

// === impl Start ===

impl Executor for Start {
    fn execute(&self, request: CheckedRequest, sender: ResponseSender) {
        let shared = self.shared.clone();
        run_here_or_spawn(&self.runtime, Box::pin(async move { shared.serve(request, sender).await }));
    }

    /// A member that is loaded anew serves before the ensemble is: what comes out of it in between is not what other
    /// processes are to find under the old member's name.
    fn may_keep(&self) -> bool {
        let Shared { plan, service, members, .. } = &*self.shared;
        members.is_empty() || fingerprints(plan, service).as_ref() == Some(members)
    }
}

// === impl Shared ===

impl Shared {
    async fn serve(&self, request: CheckedRequest, mut sender: ResponseSender) {
        let started = Instant::now();
        sender.execution_started(started);
        let (rows, received) = (request.batch_size(), request.get().received);
        let trace = request.get().trace.clone();
        let result = match run::run(self, request, &mut sender).await {
            Ok(Some(response)) => {
                let mut last = Ok(response);
                sender.reshape_last(&mut last);
                last.map(Some)
            }
            other => other,
        };
        let ended = Instant::now();
        let timeline = Timeline { started, inputs_ready: None, outputs_started: None };
        let execution = ExecutionRecord { rows, timeline, ended, gpu: None };
        self.recorder.batch_executed(&execution);
        self.recorder.request_finished(&RequestRecord {
            outcome: outcome(&result),
            rows,
            received,
            queued: started,
            execution: Some(execution),
            ended,
        });
        // An ensemble computes nothing itself: its steps have traces of their own.
        if let Some(trace) = trace {
            trace.event(Activity::QueueStart, started);
            trace.event(Activity::RequestEnd, ended);
        }
        match result {
            Ok(Some(response)) => sender.respond(Ok(response)),
            Ok(None) => sender.finish(),
            Err(error) => sender.respond(Err(error)),
        }
    }
}

/// How much may be on its way: as the configuration says, or the server.
fn flow(config: &ModelConfig, limits: &PipelineLimits) -> Flow {
    let ensemble = config.ensemble();
    let asked = ensemble.map_or(0, |ensemble| ensemble.max_inflight_requests as usize);
    let cap = (asked > 0).then_some(asked);
    let steps = ensemble.map_or(&[] as &[_], |ensemble| &ensemble.steps).iter();
    let steps = steps.filter_map(|_| cap).map(|cap| Arc::new(Semaphore::new(cap.min(Semaphore::MAX_PERMITS))));
    Flow {
        limits: JourneyLimits { branches_max: cap.unwrap_or(limits.ensemble_inflight_max) },
        steps: steps.collect(),
        held_bytes: AtomicUsize::new(0),
        held_bytes_max: limits.ensemble_bytes_max,
    }
}

/// The members decide that an ensemble is decoupled; then it is refused in the words for any decoupled model.
fn refuse_kept_streams(config: &ModelConfig, plan: &Plan) -> Result<(), InferError> {
    if !(plan.is_decoupled() && config.caches_responses()) {
        return Ok(());
    }
    Err(InferError::invalid_argument(format!(
        "Response Cache does not currently support model {} with 'decoupled' transaction policy, which comes from its \
         members. Please disable the response cache.",
        config.name
    )))
}

/// An answer that is kept would leave out what a member remembers of a sequence.
fn refuse_kept_sequences(config: &ModelConfig, peers: &dyn Fn(&str) -> Option<ModelConfig>) -> Result<(), InferError> {
    let steps = |config: &ModelConfig| -> Vec<String> {
        let steps = config.ensemble().map(|ensemble| ensemble.steps.as_slice()).unwrap_or_default();
        steps.iter().map(EnsembleStep::qualified_name).collect()
    };
    let mut unseen = if config.caches_responses() { steps(config) } else { vec![] };
    let mut seen = BTreeSet::new();
    while let Some(name) = unseen.pop() {
        let Some(member) = peers(&name).filter(|_| seen.insert(name.clone())) else { continue };
        if member.sequences().is_some() {
            return Err(InferError::invalid_argument(format!(
                "Response Cache does not currently support model {} with sequence batching scheduler, which its member \
                 '{name}' has. Please disable the response cache.",
                config.name
            )));
        }
        unseen.extend(steps(&member));
    }
    Ok(())
}

/// The members' fingerprints, step by step; `None` when one has none.
fn fingerprints(plan: &Plan, service: &ServiceHandle) -> Option<Vec<Fingerprint>> {
    let service = service.get().ok()?;
    let member = |step: &plan::Step| service.model(&step.model, step.version).ok()?.fingerprint();
    plan.steps.iter().map(member).collect()
}

/// Outputs without a label file have the labels of the member's output that they are.
fn inherit_labels(labels: &mut OutputLabels, plan: &Plan, service: &ServiceHandle) -> Result<(), InferError> {
    let service = service.get()?;
    for (output, tensor) in &plan.outputs {
        for step in &plan.steps {
            let Some((made, _)) = step.outputs.iter().find(|(_, index)| index == tensor) else { continue };
            labels.inherit(output, service.model(&step.model, step.version)?.labels(made));
        }
    }
    Ok(())
}

/// Failures of an ensemble count as `OTHER`, as upstream does: the member that failed has counted the reason.
fn outcome(result: &Result<Option<InferResponse>, InferError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) if error.kind() == ErrorKind::Cancelled => Outcome::Failure(FailureReason::Cancelled),
        Err(_) => Outcome::Failure(FailureReason::Other),
    }
}

#[cfg(test)]
mod tests;
