//! Acts on what a [`Journey`] says: calls the steps' models, reads their answers, and gives responses to the client.
//!
//! Costs no task: the request's own future polls every call. Dropping it, or the client's going, cancels what runs.
//! A slow client holds back the journey, which then reads no more from decoupled steps, whose models wait in turn.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::poll_fn;
use nereid_inference::{
    CheckedRequest, Delivery, InferError, InferRequest, InferResponse, ResponseSender, ResponseStream, ServiceHandle,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::coop::consume_budget,
};

use super::{
    Shared,
    journey::{Action, Call, Event, Journey, JourneyLimits},
    plan::{Plan, Step},
};

/// Runs the steps that the request's outputs need, and sends every response but the last.
///
/// # Errors
/// The first failure of a step, with the ensemble and the step named in front; or that the client is gone.
pub(super) async fn run(
    shared: &Shared,
    request: CheckedRequest,
    sender: &mut ResponseSender,
) -> Result<Option<InferResponse>, InferError> {
    let takes_device_memory = request.get().takes_device_memory;
    let placed = |response: InferResponse| if takes_device_memory { Ok(response) } else { on_host(response) };
    let mut journey = Journey::begin(&shared.plan, &shared.identity.name, request, shared.flow.limits)?;
    let mut calls = Calls { shared, running: Vec::new(), next: 0 };
    let mut held = Held { total: &shared.flow.held_bytes, bytes: 0 };
    loop {
        while let Some(action) = journey.next_action() {
            match action {
                Action::Start(call, request) => calls.start(call, *request),
                Action::Finish(result) => return result.and_then(|response| response.map(placed).transpose()),
                Action::Send(response) => {
                    if !sender.send(placed(response)).await {
                        journey.on(Event::Cancelled);
                    }
                    // Fast models and a fast client would keep others from this thread.
                    consume_budget().await;
                }
            }
        }
        if shared.plan.is_decoupled() {
            held.set(journey.held_bytes());
        }
        let event = tokio::select! {
            biased;
            event = poll_fn(|context| calls.poll_next(context, &journey)) => event,
            () = sender.cancelled() => Event::Cancelled,
        };
        journey.on(event);
    }
}

/// How much may be on its way through one ensemble.
pub(super) struct Flow {
    pub(super) limits: JourneyLimits,
    /// Calls of each step at one time, over all requests; empty without `max_inflight_requests`.
    pub(super) steps: Vec<Arc<Semaphore>>,
    /// Tensors that all requests together hold.
    pub(super) held_bytes: AtomicUsize,
    pub(super) held_bytes_max: usize,
}

/// What one request adds to the ensemble's count.
struct Held<'a> {
    total: &'a AtomicUsize,
    bytes: usize,
}

/// The calls of one request that are under way.
struct Calls<'a> {
    shared: &'a Shared,
    running: Vec<Running>,
    /// Where to look first, so that no call is always the last.
    next: usize,
}

struct Running {
    call: Call,
    stage: Stage,
    is_decoupled: bool,
    /// Of a model that gives one response.
    first: Option<Result<InferResponse, InferError>>,
    responses: u64,
}

enum Stage {
    /// Too many requests are in the step.
    Queued(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>, Option<Box<InferRequest>>),
    Started {
        responses: ResponseStream,
        _permit: Option<OwnedSemaphorePermit>,
    },
}

// === impl Flow ===

impl Flow {
    fn memory_is_short(&self) -> bool {
        self.held_bytes.load(Ordering::Relaxed) >= self.held_bytes_max
    }
}

// === impl Held ===

impl Held<'_> {
    fn set(&mut self, bytes: usize) {
        match bytes.cmp(&self.bytes) {
            std::cmp::Ordering::Equal => return,
            std::cmp::Ordering::Greater => self.total.fetch_add(bytes - self.bytes, Ordering::Relaxed),
            std::cmp::Ordering::Less => self.total.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

// === impl Calls ===

impl Calls<'_> {
    fn start(&mut self, call: Call, mut request: InferRequest) {
        // What goes from step to step stays on its device.
        request.takes_device_memory = true;
        let Some(step) = self.shared.plan.steps.get(call.step) else { return };
        let stage = match self.shared.flow.steps.get(call.step) {
            None => Stage::start(&self.shared.service, step, request, None),
            Some(cap) => {
                let permit = cap.clone().acquire_owned();
                Stage::Queued(Box::pin(async move { permit.await.ok() }), Some(Box::new(request)))
            }
        };
        self.running.push(Running { call, stage, is_decoupled: step.is_decoupled, first: None, responses: 0 });
    }

    /// The next event of any call that may be read.
    fn poll_next(&mut self, context: &mut Context<'_>, journey: &Journey<'_>) -> Poll<Event> {
        let memory_is_short = self.shared.flow.memory_is_short();
        let calls = self.running.len();
        for offset in 0..calls {
            let position = (self.next + offset) % calls;
            let Some(running) = self.running.get_mut(position) else { continue };
            if !journey.may_read(running.call, memory_is_short) {
                continue;
            }
            if let Poll::Ready((event, is_over)) = running.poll(context, &self.shared.plan, &self.shared.service) {
                if is_over {
                    self.running.swap_remove(position);
                }
                self.next = position + 1;
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

// === impl Running ===

impl Running {
    /// The next event of this call, and whether it is the last.
    fn poll(&mut self, context: &mut Context<'_>, plan: &Plan, service: &ServiceHandle) -> Poll<(Event, bool)> {
        if let Stage::Queued(permit, request) = &mut self.stage {
            let Poll::Ready(permit) = permit.as_mut().poll(context) else { return Poll::Pending };
            if let (Some(request), Some(step)) = (request.take(), plan.steps.get(self.call.step)) {
                self.stage = Stage::start(service, step, *request, permit);
            }
        }
        loop {
            let Stage::Started { responses, .. } = &mut self.stage else { return Poll::Pending };
            let Poll::Ready(delivery) = responses.poll_next(context) else { return Poll::Pending };
            let Delivery { response, last } = delivery.unwrap_or(Delivery { response: None, last: true });
            if self.is_decoupled {
                return Poll::Ready(event(self.call, response, last));
            }
            if let Some(response) = response {
                self.responses += 1;
                self.first.get_or_insert(response);
            }
            if last {
                return Poll::Ready(event(self.call, Some(self.single()), true));
            }
        }
    }

    /// The answer of a model that gives exactly one.
    fn single(&mut self) -> Result<InferResponse, InferError> {
        match (self.first.take(), self.responses) {
            (Some(response), 1) => response,
            (_, total) => Err(InferError::internal(format!("expected a single response, got {total}"))),
        }
    }
}

// === impl Stage ===

impl Stage {
    fn start(
        service: &ServiceHandle,
        step: &Step,
        request: InferRequest,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let model = service.get().and_then(|service| service.model(&step.model, step.version));
        let responses = match model {
            Ok(model) => model.infer(request),
            Err(error) => ResponseStream::ready(Err(error)),
        };
        Self::Started { responses, _permit: permit }
    }
}

/// The outputs of a step that computes on a device, for a client that wants them in its response.
fn on_host(mut response: InferResponse) -> Result<InferResponse, InferError> {
    response.bring_to_host()?;
    Ok(response)
}

fn event(call: Call, response: Option<Result<InferResponse, InferError>>, last: bool) -> (Event, bool) {
    match response.transpose() {
        Ok(response) => (Event::Answered { call, response, last }, last),
        Err(error) => (Event::Failed { call, error }, true),
    }
}
