//! A model whose answers are kept: what happens to a request before the model's scheduler sees it.
//!
//! A hit is answered here. Of identical requests that miss at the same time one is executed; the others get its answer,
//! and when it fails they try again and then run for themselves, so that nobody fails because of somebody else. A request
//! with a priority or a timeout of its own waits for nobody.
//!
//! Promises: what is kept, and what is handed to several requests, is read from memory that no client can change, whatever
//! the request's tensors lie in. Every request is counted once, and before it is answered. Answers keep the order of
//! arrival where the model promises that.
//! Costs: a digest of the inputs; on a miss a copy of the outputs too. Inputs in shared memory are copied once, because
//! what was digested must be what is executed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_cache::{
    CacheKey, Flights, Generation, JOINS_MAX, Joined, Landed, LeaderLeft, Leadership, Lookup, ResponseCache,
};
use nereid_inference::{
    Activity, CheckedRequest, InferError, InferRequest, InferResponse, NamedTensor, ResponseOrder, ResponseSender,
    response_channel,
};
use nereid_scheduler::run_here_or_spawn;
use nereid_telemetry::CacheHit;
use tokio::runtime::Handle;

use crate::recorder::Recorder;

/// Executes what is not kept.
pub(crate) trait Executor: Send + Sync {
    /// Hands the request on; its outcome arrives at `sender` and is counted.
    fn execute(&self, request: CheckedRequest, sender: ResponseSender);

    /// Whether what was executed a moment ago is an answer of this generation, which may be kept for others to find.
    fn may_keep(&self) -> bool {
        true
    }
}

/// The cache as one generation of a model uses it.
pub(crate) struct Caching {
    cache: Arc<dyn ResponseCache>,
    generation: Generation,
    flights: Arc<Flights<CacheKey, InferResponse>>,
    recorder: Arc<Recorder>,
    runtime: Handle,
    order: Option<ResponseOrder>,
}

/// A request on its way through the cache.
struct Visit {
    request: CheckedRequest,
    sender: ResponseSender,
    key: CacheKey,
    clock: Clock,
}

/// What a visit is counted by.
#[derive(Clone, Copy)]
struct Clock {
    received: Instant,
    queued: Instant,
    looked: Instant,
}

/// What a generation caches with.
pub(crate) struct CachingParts {
    pub(crate) cache: Arc<dyn ResponseCache>,
    pub(crate) generation: Generation,
    /// Identical requests that may wait for one execution.
    pub(crate) followers_max: usize,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) runtime: Handle,
    pub(crate) preserve_order: bool,
}

// === impl Caching ===

impl Caching {
    pub(crate) fn new(parts: CachingParts) -> Arc<Self> {
        let CachingParts { cache, generation, followers_max, recorder, runtime, preserve_order } = parts;
        recorder.count_cache();
        let order = preserve_order.then(ResponseOrder::default);
        Arc::new(Self { cache, generation, flights: Flights::new(followers_max), recorder, runtime, order })
    }

    /// Takes the request's tensors out of its client's hands: inputs are copied out of shared memory, and outputs are
    /// copied there at the end, by the frontend, instead of being written by the model. What is cached is on the host.
    ///
    /// # Errors
    /// A device with shared memory could not be read.
    pub(crate) fn prepare(&self, request: &mut InferRequest) -> Result<(), InferError> {
        request.output_memory.clear();
        request.takes_device_memory = false;
        for NamedTensor { name, tensor } in &mut request.inputs {
            if tensor.buffer().is_external() {
                *tensor = tensor
                    .clone()
                    .into_private()
                    .map_err(|error| InferError::internal(format!("input '{name}' could not be read: {error}")))?;
            }
        }
        Ok(())
    }

    /// Answers a request that was prepared and checked: from the cache, with others, or by executing it.
    pub(crate) fn serve(
        self: &Arc<Self>,
        executor: Arc<dyn Executor>,
        request: CheckedRequest,
        mut sender: ResponseSender,
    ) {
        let queued = Instant::now();
        if let Some(order) = &self.order {
            order.admit(&mut sender);
        }
        let key = self.generation.key(request.get());
        let clock = Clock { received: request.get().received, queued, looked: Instant::now() };
        let visit = Visit { request, sender, key, clock };
        match self.cache.lookup(&key) {
            Lookup::Hit(response) => self.hit(visit, response),
            Lookup::Miss | Lookup::Pending(_) => {
                let caching = self.clone();
                let task = Box::pin(async move { caching.share(&*executor, visit).await });
                run_here_or_spawn(&self.runtime, task);
            }
        }
    }

    /// Executes the request once for all who ask the same, or waits for whoever does.
    async fn share(&self, executor: &dyn Executor, visit: Visit) {
        let request = visit.request.get();
        if request.priority != 0 || request.timeout.is_some() {
            return self.run_alone(executor, visit).await;
        }
        for _ in 0..JOINS_MAX {
            match self.flights.join(visit.key) {
                Joined::Full => break,
                Joined::Leads(leadership) => return self.lead(executor, leadership, visit).await,
                Joined::Follows(mut seat) => {
                    let landed = tokio::select! {
                        biased;
                        landed = seat.landed() => Some(landed),
                        () = visit.sender.cancelled() => None,
                    };
                    match landed.or_else(|| seat.leave()) {
                        Some(Landed::Answer { answer, inherits: false }) => return self.hit(visit, answer),
                        Some(Landed::Answer { answer, inherits: true }) => return visit.answer(Ok(answer)),
                        Some(Landed::Failed) => {}
                        None => return self.gone(visit),
                    }
                }
            }
        }
        self.run_alone(executor, visit).await;
    }

    /// Runs for itself and for who follows.
    async fn lead(&self, executor: &dyn Executor, leadership: Leadership<CacheKey, InferResponse>, visit: Visit) {
        // Asked again: the flight before this one may have landed in between.
        if let Some(response) = self.find(&visit.key).await {
            leadership.land(Some(response.clone()));
            return self.hit(visit, response);
        }
        let looked_up = visit.clock.looked.elapsed();
        let Visit { request, sender, key, clock } = visit;
        let Some((leadership, sender, result)) = self.execute_shared(executor, leadership, request, sender).await
        else {
            return;
        };
        if let Ok(response) = &result {
            self.keep(executor, &key, response, looked_up);
        }
        let answer = result.as_ref().ok().cloned();
        let is_inherited = leadership.land(answer);
        match sender {
            Some(sender) => sender.respond(result),
            None if is_inherited => self.recorder.request_gone(clock.received.elapsed()),
            None => {}
        }
    }

    /// Executes for as long as anybody waits. The sender comes back unless its client is gone; nothing does when nobody
    /// waited to the end.
    async fn execute_shared(
        &self,
        executor: &dyn Executor,
        mut leadership: Leadership<CacheKey, InferResponse>,
        request: CheckedRequest,
        sender: ResponseSender,
    ) -> Option<(Leadership<CacheKey, InferResponse>, Option<ResponseSender>, Result<InferResponse, InferError>)> {
        let (inner, stream) = response_channel();
        executor.execute(request, inner);
        let mut result = Box::pin(stream.single());
        tokio::select! {
            biased;
            result = &mut result => return Some((leadership, Some(sender), result)),
            () = sender.cancelled() => {}
        }
        drop(sender);
        if leadership.leave() == LeaderLeft::Abandoned {
            return None;
        }
        tokio::select! {
            biased;
            result = &mut result => Some((leadership, None, result)),
            () = leadership.abandoned() => None,
        }
    }

    /// Runs for itself; the answer is kept all the same.
    async fn run_alone(&self, executor: &dyn Executor, visit: Visit) {
        if let Some(response) = self.find(&visit.key).await {
            return self.hit(visit, response);
        }
        let looked_up = visit.clock.looked.elapsed();
        let Visit { request, sender, key, .. } = visit;
        let (inner, stream) = response_channel();
        executor.execute(request, inner);
        tokio::select! {
            biased;
            result = stream.single() => {
                if let Ok(response) = &result {
                    self.keep(executor, &key, response, looked_up);
                }
                sender.respond(result);
            }
            // The stream goes too, and the model counts that.
            () = sender.cancelled() => {}
        }
    }

    async fn find(&self, key: &CacheKey) -> Option<InferResponse> {
        match self.cache.lookup(key) {
            Lookup::Hit(response) => Some(response),
            Lookup::Miss => None,
            Lookup::Pending(lookup) => lookup.await,
        }
    }

    /// Keeps the answer to a request that was executed, and counts the miss.
    fn keep(&self, executor: &dyn Executor, key: &CacheKey, response: &InferResponse, looked_up: Duration) {
        let started = Instant::now();
        if executor.may_keep() {
            self.cache.insert(key, response);
        }
        self.recorder.cache_miss(looked_up, started.elapsed());
    }

    fn hit(&self, visit: Visit, response: InferResponse) {
        let Clock { received, queued, looked } = visit.clock;
        let hit = CacheHit { request: received.elapsed(), queue: looked - queued, lookup: looked.elapsed() };
        self.recorder.cache_hit(&hit);
        visit.answer(Ok(response));
    }

    fn gone(&self, visit: Visit) {
        self.recorder.request_gone(visit.clock.received.elapsed());
        visit.answer(Err(InferError::cancelled("the client is gone")));
    }
}

// === impl Visit ===

impl Visit {
    /// Answers a request that was not executed, and tells its trace.
    fn answer(self, result: Result<InferResponse, InferError>) {
        if let Some(trace) = &self.request.get().trace {
            trace.event(Activity::QueueStart, self.clock.queued);
            trace.event(Activity::RequestEnd, Instant::now());
        }
        // The trace of an answered request is complete.
        drop(self.request);
        self.sender.respond(result);
    }
}

#[cfg(test)]
mod tests;
