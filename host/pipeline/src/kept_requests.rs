//! Requests of a model's traffic that were answered, kept to try them on the generation that takes its place: a build that
//! fails on what was answered a moment ago never gets a client's request.
//!
//! Promises: in memory alone, and gone with the last generation of the model; never more than the limits say; copies, so that
//! no client can change them and no request body is held by them. Of who asked and how, nothing is kept: tensors, parameters and
//! the wanted outputs only.
//! Costs: one atomic load per request of a model that keeps any, and at most once a second a copy of a request's inputs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nereid_inference::{
    CheckedRequest, InferError, InferRequest, ModelConfig, ModelIdentity, NamedTensor, ResponseObserver,
    ResponseOutcome, ResponseRecord,
};
use nereid_tensor::{BufferMut, Tensor};
use parking_lot::Mutex;

/// How many of its requests a model keeps; 0 keeps none.
const REQUESTS: &str = "swap_warmup_requests";

/// Every instance of a new generation executes each of them before it serves.
const REQUESTS_MAX: usize = 16;

/// What a model keeps whose configuration says nothing, where repeating a request changes nothing elsewhere.
const REQUESTS_BY_DEFAULT: usize = 1;

/// Between two requests that are kept: the newest is never much older than this, and a busy model copies one in thousands.
const INTERVAL: Duration = Duration::from_secs(1);

/// The shelf of each model that has a generation.
#[derive(Default)]
pub(crate) struct Shelves(Mutex<BTreeMap<ModelName, Weak<Shelf>>>);

/// Namespace and name: versions and generations of a model share what is kept.
type ModelName = (Option<Arc<str>>, Arc<str>);

/// What is kept of one model.
pub(crate) struct Shelf {
    /// What `due_ms` counts from.
    epoch: Instant,
    /// When the next request is looked at.
    due_ms: AtomicU64,
    /// Newest last.
    kept: Mutex<VecDeque<InferRequest>>,
}

/// How one generation keeps requests.
pub(crate) struct Keeper {
    shelf: Arc<Shelf>,
    /// At least 1.
    requests_max: usize,
    bytes_max: usize,
}

/// A request under way, kept when its first answer is a good one.
struct Candidate {
    shelf: Arc<Shelf>,
    requests_max: usize,
    bytes_max: usize,
    request: Mutex<Option<InferRequest>>,
    /// Who is told of its responses besides.
    next: Option<Arc<dyn ResponseObserver>>,
}

/// How many requests the configuration asks to keep; `None` when it says nothing.
///
/// # Errors
/// The parameter is no such number, or the model has sequences, whose requests mean nothing without those before them.
pub(crate) fn wanted(config: &ModelConfig) -> Result<Option<usize>, InferError> {
    let Some(text) = config.parameter(REQUESTS) else { return Ok(None) };
    let count = text.trim().parse::<usize>().ok().filter(|count| *count <= REQUESTS_MAX);
    let count = count.ok_or_else(|| {
        InferError::invalid_argument(format!(
            "model '{}': parameter '{REQUESTS}' is '{text}', expected a whole number from 0 to {REQUESTS_MAX}",
            config.name
        ))
    })?;
    if count > 0 && config.sequences().is_some() {
        return Err(InferError::invalid_argument(format!(
            "model '{}': parameter '{REQUESTS}' is {count}, and the model has sequence_batching: a request means nothing without \
             those before it; remove the parameter, and describe a request in model_warmup",
            config.name
        )));
    }
    Ok(Some(count))
}

// === impl Shelves ===

impl Shelves {
    /// The model's shelf, with what its generations have kept so far.
    pub(crate) fn of(&self, model: &ModelIdentity) -> Arc<Shelf> {
        let mut shelves = self.0.lock();
        shelves.retain(|_, shelf| shelf.strong_count() > 0);
        let name = (model.namespace.clone(), model.name.clone());
        if let Some(shelf) = shelves.get(&name).and_then(Weak::upgrade) {
            return shelf;
        }
        let shelf = Arc::new(Shelf { epoch: Instant::now(), due_ms: AtomicU64::new(0), kept: Mutex::default() });
        shelves.insert(name, Arc::downgrade(&shelf));
        shelf
    }

    /// The generation that is loaded next begins with nothing; the one that serves goes on with what it has.
    pub(crate) fn forget(&self, model: &ModelIdentity) {
        self.0.lock().remove(&(model.namespace.clone(), model.name.clone()));
    }
}

// === impl Shelf ===

impl Shelf {
    /// What is kept, the newest first.
    pub(crate) fn requests(&self) -> Vec<InferRequest> {
        self.kept.lock().iter().rev().cloned().collect()
    }

    /// Whether the request that arrived at `now` is the one to be looked at. One thread of several is told so.
    fn is_due(&self, now: Instant) -> bool {
        let now_ms = u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX);
        let due_ms = self.due_ms.load(Relaxed);
        let next_ms = now_ms.saturating_add(u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX));
        now_ms >= due_ms && self.due_ms.compare_exchange(due_ms, next_ms, Relaxed, Relaxed).is_ok()
    }

    /// Keeps the request and lets the oldest go that are beyond the limits.
    fn keep(&self, request: InferRequest, requests_max: usize, bytes_max: usize) {
        let mut kept = self.kept.lock();
        kept.push_back(request);
        while kept.len() > requests_max || kept.iter().map(input_bytes).sum::<usize>() > bytes_max {
            kept.pop_front();
        }
    }
}

fn input_bytes(request: &InferRequest) -> usize {
    request.inputs.iter().map(|input| input.tensor.byte_size()).sum()
}

// === impl Keeper ===

impl Keeper {
    /// For a generation of this configuration; `None` when it keeps nothing. `by_default` says whether one keeps requests whose
    /// configuration says nothing.
    ///
    /// # Errors
    /// See [`wanted`].
    pub(crate) fn new(
        shelf: Arc<Shelf>,
        config: &ModelConfig,
        (by_default, bytes_max): (bool, usize),
    ) -> Result<Option<Self>, InferError> {
        let default = if by_default && config.sequences().is_none() { REQUESTS_BY_DEFAULT } else { 0 };
        let requests_max = wanted(config)?.unwrap_or(default);
        Ok((requests_max > 0).then_some(Self { shelf, requests_max, bytes_max }))
    }

    /// Whoever is to be told of the request's responses: `next`, and, when it is time for another request, the shelf.
    pub(crate) fn watch(
        &self,
        request: &CheckedRequest,
        next: Option<Arc<dyn ResponseObserver>>,
    ) -> Option<Arc<dyn ResponseObserver>> {
        let request = request.get();
        let fits = self.shelf.is_due(request.received) && input_bytes(request) <= self.bytes_max;
        let Some(copy) = fits.then(|| copied(request)).flatten() else { return next };
        Some(Arc::new(Candidate {
            shelf: self.shelf.clone(),
            requests_max: self.requests_max,
            bytes_max: self.bytes_max,
            request: Mutex::new(Some(copy)),
            next,
        }))
    }
}

/// The request without whoever asked; `None` for one that lies on a device.
fn copied(request: &InferRequest) -> Option<InferRequest> {
    let copy = |NamedTensor { name, tensor }: &NamedTensor| {
        let buffer = tensor.buffer();
        let bytes = buffer.device().is_none().then(|| BufferMut::copy_of(buffer.as_slice()).freeze())?;
        // A client that changes shared memory meanwhile may have made nonsense of it.
        let tensor = Tensor::new(tensor.data_type(), tensor.shape().clone(), bytes).ok()?;
        Some(NamedTensor::new(name.clone(), tensor))
    };
    Some(InferRequest {
        requested_outputs: request.requested_outputs.clone(),
        parameters: request.parameters.clone(),
        ..InferRequest::new(request.inputs.iter().map(copy).collect::<Option<_>>()?)
    })
}

// === impl Candidate ===

impl ResponseObserver for Candidate {
    fn response_sent(&self, response: &ResponseRecord) {
        let request = self.request.lock().take();
        if let Some(request) = request.filter(|_| response.outcome == ResponseOutcome::Success) {
            self.shelf.keep(request, self.requests_max, self.bytes_max);
        }
        if let Some(next) = &self.next {
            next.response_sent(response);
        }
    }
}

#[cfg(test)]
mod tests;
