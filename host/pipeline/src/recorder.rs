//! Statistics and metrics of one loaded model version, from one place, so that the two cannot disagree.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nereid_gpu::Gpus;
use nereid_inference::{
    BatchDecision, BatchStatistics, DecisionLog, DurationStatistic, InferStatistics, ModelIdentity, ModelStatistics,
    ResponseObserver, ResponseOutcome, ResponseRecord, ResponseStatistics, Tally, Verdict,
};
use nereid_scheduler::{ExecutionRecord, FailureReason, Observer, Outcome, RequestRecord, StrategyEnd};
use nereid_telemetry::{CacheHit, ModelMetrics, RequestDurations, StrategyAnswer, Telemetry};
use parking_lot::Mutex;

use crate::{decisions::Decisions, gpu_metrics::GpuMetrics, swap_guard::RecentTally};

/// Statistics are kept for this many responses of a request; what comes later is counted with the request only. A page
/// of statistics grows by 200 bytes with each.
const RESPONSE_INDEXES_MAX: usize = 4_096;

/// Counts what the scheduler reports.
pub(crate) struct Recorder {
    metrics: ModelMetrics,
    /// Where what is executed on GPUs is counted instead.
    gpu_metrics: GpuMetrics,
    /// Whether single responses are reported, by a [`ResponseCounter`], besides requests.
    counts_responses: bool,
    /// `None` for a model without a scheduler of its own.
    decisions: Option<Decisions>,
    /// `None` for a model whose generations are not watched.
    recent: Option<RecentTally>,
    counted: Mutex<Counted>,
}

/// Counts the responses of one request.
pub(crate) struct ResponseCounter {
    recorder: Arc<Recorder>,
    received: Instant,
}

#[derive(Default)]
struct Counted {
    last_inference_ms: u64,
    inference_count: u64,
    execution_count: u64,
    inference: InferStatistics,
    batches: BTreeMap<u64, BatchStatistics>,
    responses: Vec<ResponseStatistics>,
    waiting: usize,
}

// === impl Recorder ===

impl Recorder {
    /// For a model whose requests have one response each; or, with `counts_responses`, for a decoupled one, of whose
    /// requests each needs a [`ResponseCounter`].
    pub(crate) fn new(metrics: ModelMetrics, counts_responses: bool) -> Self {
        let gpu_metrics = GpuMetrics::default();
        Self { metrics, gpu_metrics, counts_responses, decisions: None, recent: None, counted: Mutex::default() }
    }

    /// The same recorder, which keeps the decisions of the model's scheduler.
    pub(crate) fn keeping(self, decisions: Decisions) -> Self {
        let mut recorder = self;
        recorder.decisions = Some(decisions);
        recorder
    }

    /// The same recorder, which remembers for as long what came of requests, for whoever watches the generation.
    pub(crate) fn watched(self, window: Option<Duration>) -> Self {
        let mut recorder = self;
        recorder.recent = window.map(|window| RecentTally::new(window, Instant::now()));
        recorder
    }

    /// What came of requests of late.
    pub(crate) fn recent(&self, now: Instant) -> Tally {
        self.recent.as_ref().map(|recent| recent.read(now)).unwrap_or_default()
    }

    /// A request was refused because it does not fit the model.
    pub(crate) fn unfit(&self, waited: Duration) {
        if let Some(recent) = &self.recent {
            recent.record(Instant::now(), waited, true);
        }
    }

    pub(crate) fn counts_responses(&self) -> bool {
        self.counts_responses
    }

    /// An instance is on that GPU.
    pub(crate) fn begin_gpu(&self, gpu: i32, telemetry: &Telemetry, gpus: &Gpus) {
        self.gpu_metrics.begin(gpu, telemetry, &self.metrics, gpus);
    }

    pub(crate) fn loaded(&self, duration: Duration) {
        self.metrics.set_load_duration(duration);
    }

    /// What the scheduler decided of late.
    pub(crate) fn decisions(&self) -> DecisionLog {
        self.decisions.as_ref().map(Decisions::read).unwrap_or_default()
    }

    /// From now on the answers of a batching strategy are counted too.
    pub(crate) fn count_strategy(&self) {
        self.metrics.count_strategy();
    }

    /// From now on hits and misses are counted too.
    pub(crate) fn count_cache(&self) {
        self.metrics.count_cache();
    }

    /// A request was answered without an execution.
    pub(crate) fn cache_hit(&self, hit: &CacheHit) {
        self.metrics.record_first_response(hit.request);
        self.metrics.record_cache_hit(hit);
        let mut counted = self.counted.lock();
        counted.last_inference_ms = unix_milliseconds();
        let inference = &mut counted.inference;
        add(&mut inference.success, hit.request);
        add(&mut inference.queue, hit.queue);
        add(&mut inference.cache_hit, hit.lookup);
    }

    /// A request that was executed, and is counted as such, had been looked for and is kept now. What keeping it took is
    /// part of its duration.
    pub(crate) fn cache_miss(&self, lookup: Duration, insertion: Duration) {
        self.metrics.record_cache_miss(lookup, insertion);
        let inference = &mut self.counted.lock().inference;
        inference.success.total_ns += nanoseconds(insertion);
        add(&mut inference.cache_miss, lookup + insertion);
    }

    /// A request was refused before it came to the scheduler.
    pub(crate) fn refused(&self, waited: Duration) {
        if !self.counts_responses {
            self.metrics.record_first_response(waited);
        }
        self.metrics.record_failure(nereid_telemetry::FailureReason::Rejected);
        add(&mut self.counted.lock().inference.fail, waited);
    }

    /// A request that waited for the execution of another went away.
    pub(crate) fn request_gone(&self, waited: Duration) {
        self.metrics.record_failure(nereid_telemetry::FailureReason::Cancelled);
        add(&mut self.counted.lock().inference.fail, waited);
    }

    /// What was counted so far, in the protocol's form.
    pub(crate) fn statistics(&self, identity: &ModelIdentity) -> ModelStatistics {
        let counted = self.counted.lock();
        ModelStatistics {
            identity: identity.clone(),
            last_inference_ms: counted.last_inference_ms,
            inference_count: counted.inference_count,
            execution_count: counted.execution_count,
            inference: counted.inference,
            batches: counted.batches.values().copied().collect(),
            responses: counted.responses.clone(),
            memory: vec![],
        }
    }
}

impl Observer for Recorder {
    fn waiting_changed(&self, waiting: usize) {
        let before = std::mem::replace(&mut self.counted.lock().waiting, waiting);
        let change = i64::try_from(waiting).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX);
        self.metrics.add_pending(change);
    }

    fn batch_decided(&self, decision: BatchDecision) {
        if let Some(decisions) = &self.decisions {
            decisions.note(decision);
        }
    }

    fn strategy_asked(&self, end: StrategyEnd) {
        self.metrics.record_strategy(match end {
            StrategyEnd::Answered(Verdict::Joins) => StrategyAnswer::Joins,
            StrategyEnd::Answered(Verdict::Stays) => StrategyAnswer::Stays,
            StrategyEnd::Answered(Verdict::Failed) => StrategyAnswer::Failed,
            StrategyEnd::Overdue => StrategyAnswer::Overdue,
        });
    }

    fn batch_executed(&self, execution: &ExecutionRecord) {
        self.gpu_metrics.count(execution.gpu, &self.metrics, |metrics| metrics.record_execution(execution.rows));
        let mut counted = self.counted.lock();
        counted.execution_count += 1;
        let batch = counted.batches.entry(execution.rows).or_default();
        batch.batch_size = execution.rows;
        add(&mut batch.compute_input, execution.compute_input());
        add(&mut batch.compute_infer, execution.compute_infer());
        add(&mut batch.compute_output, execution.compute_output());
    }

    fn request_finished(&self, request: &RequestRecord) {
        if !self.counts_responses && request.outcome != Outcome::Step {
            self.metrics.record_first_response(request.total());
        }
        if let Some(recent) = &self.recent {
            note(recent, request, self.counts_responses);
        }
        match (request.outcome, request.execution) {
            (Outcome::Success | Outcome::Step, Some(execution)) => self.succeeded(request, &execution),
            (Outcome::Failure(reason), _) => self.failed(request, reason),
            (Outcome::Success | Outcome::Step, None) => {}
        }
    }
}

impl Recorder {
    fn succeeded(&self, request: &RequestRecord, execution: &ExecutionRecord) {
        let durations = RequestDurations {
            request: request.total(),
            queue: request.queue(),
            compute_input: execution.compute_input(),
            compute_infer: execution.compute_infer(),
            compute_output: execution.compute_output(),
        };
        self.gpu_metrics
            .count(execution.gpu, &self.metrics, |metrics| metrics.record_success(request.rows, &durations));
        let mut counted = self.counted.lock();
        counted.inference_count += request.rows;
        counted.last_inference_ms = unix_milliseconds();
        let inference = &mut counted.inference;
        add(&mut inference.success, durations.request);
        add(&mut inference.queue, durations.queue);
        add(&mut inference.compute_input, durations.compute_input);
        add(&mut inference.compute_infer, durations.compute_infer);
        add(&mut inference.compute_output, durations.compute_output);
    }

    fn failed(&self, request: &RequestRecord, reason: FailureReason) {
        let reason = match reason {
            FailureReason::Rejected => nereid_telemetry::FailureReason::Rejected,
            FailureReason::Cancelled => nereid_telemetry::FailureReason::Cancelled,
            FailureReason::Backend => nereid_telemetry::FailureReason::Backend,
            FailureReason::Other => nereid_telemetry::FailureReason::Other,
        };
        let gpu = request.execution.and_then(|execution| execution.gpu);
        self.gpu_metrics.count(gpu, &self.metrics, |metrics| metrics.record_failure(reason));
        add(&mut self.counted.lock().inference.fail, request.total());
    }
}

impl Drop for Recorder {
    /// A gauge outlives one generation of a model: what this one still shows as waiting must not stay in it.
    fn drop(&mut self) {
        self.waiting_changed(0);
    }
}

// === impl ResponseCounter ===

impl ResponseCounter {
    pub(crate) fn new(recorder: Arc<Recorder>, received: Instant) -> Arc<Self> {
        Arc::new(Self { recorder, received })
    }
}

impl ResponseObserver for ResponseCounter {
    /// As upstream, the first response counts for the histogram whatever it says, and answers to requests that never
    /// ran are not among the responses.
    fn response_sent(&self, response: &ResponseRecord) {
        if response.index == 0 {
            self.recorder.metrics.record_first_response(response.ended.saturating_duration_since(self.received));
        }
        if let Some(recent) = self.recorder.recent.as_ref().filter(|_| response.outcome == ResponseOutcome::Failure) {
            recent.record_failure(response.ended);
        }
        let index = usize::try_from(response.index).unwrap_or(usize::MAX);
        let Some(started) = response.started.filter(|_| index < RESPONSE_INDEXES_MAX) else { return };
        let mut counted = self.recorder.counted.lock();
        if counted.responses.len() <= index {
            counted.responses.resize(index + 1, ResponseStatistics::default());
        }
        if let Some(statistics) = counted.responses.get_mut(index) {
            add_response(statistics, response, started);
        }
    }
}

/// What a client did is nothing that its model can be blamed for. Of a decoupled model, responses are failures.
fn note(recent: &RecentTally, request: &RequestRecord, counts_responses: bool) {
    let is_failure = match request.outcome {
        Outcome::Step | Outcome::Failure(FailureReason::Cancelled) => return,
        Outcome::Failure(_) => !counts_responses,
        Outcome::Success => false,
    };
    recent.record(request.ended, request.total(), is_failure);
}

fn add_response(statistics: &mut ResponseStatistics, response: &ResponseRecord, started: Instant) {
    let whole = response.ended.saturating_duration_since(started);
    let computed = response.handed_over.saturating_duration_since(started);
    let sent = response.ended.saturating_duration_since(response.handed_over);
    match response.outcome {
        ResponseOutcome::Success | ResponseOutcome::Failure => {
            add(&mut statistics.compute_infer, computed);
            add(&mut statistics.compute_output, sent);
        }
        ResponseOutcome::Empty => add(&mut statistics.compute_infer, whole),
        ResponseOutcome::Cancelled => {}
    }
    let counter = match response.outcome {
        ResponseOutcome::Success => &mut statistics.success,
        ResponseOutcome::Failure => &mut statistics.fail,
        ResponseOutcome::Empty => &mut statistics.empty_response,
        ResponseOutcome::Cancelled => &mut statistics.cancel,
    };
    add(counter, whole);
}

fn add(statistic: &mut DurationStatistic, duration: Duration) {
    statistic.count += 1;
    statistic.total_ns += nanoseconds(duration);
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn unix_milliseconds() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
