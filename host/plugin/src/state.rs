//! What the host keeps beside one guest: its handles, its meters, and the call under way.

use std::{
    iter,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use nereid_inference::{CallChain, InferError, InferRequest, InferResponse, NamedTensor, RequestTrace, SharedTenant};
use parking_lot::Mutex;
use wasmtime::{UpdateDeadline, component::Resource};

use crate::{
    account::Account,
    bindings::nereid::plugin::{serving::Response, tensors::Named},
    call_report::CallReporter,
    clock::CallClock,
    convert,
    failure::Stop,
    guest_clock::GuestClock,
    guest_life::GuestLife,
    guest_log::GuestLog,
    handles::Arena,
    imports::{
        awaited::{AwaitedCall, AwaitedCalls},
        inference::PendingCall,
        metrics::{CounterHandle, GaugeHandle, HistogramHandle},
        nn::NnHandles,
        operations::tokenizers::TokenizerHandle,
        serving::RequestHandle,
        tracing::{SpanBudget, SpanHandle},
        wasi::Wasi,
    },
    limits::{PluginLimits, TimeLimit},
    memory_meter::MemoryMeter,
    plugin::PluginSpec,
    sender::SenderHandle,
    tensor_handle::TensorHandle,
};

/// How long a guest may go on after its client left: enough to notice `cancelled` and leave in order.
const CANCELLATION_GRACE: Duration = Duration::from_millis(100);

/// The store's data.
pub(crate) struct PluginState {
    pub(crate) spec: Arc<PluginSpec>,
    /// The name of the model's instance.
    pub(crate) instance: Arc<str>,
    pub(crate) meter: MemoryMeter,
    pub(crate) life: GuestLife,
    pub(crate) log: GuestLog,
    /// The time as the guest sees it.
    pub(crate) time: GuestClock,
    /// Of guests that use it. Never locked: the lock is what lets a thread hand the state to another.
    wasi: Option<Box<Mutex<Wasi>>>,
    pub(crate) call: CallState,
    pub(crate) tensors: Arena<TensorHandle>,
    pub(crate) requests: Arena<RequestHandle>,
    pub(crate) pending: Arena<PendingCall>,
    pub(crate) awaited: Arena<AwaitedCall>,
    pub(crate) spans: Arena<SpanHandle>,
    /// These outlive their call, and so does what follows.
    pub(crate) senders: Arena<SenderHandle>,
    pub(crate) counters: Arena<CounterHandle>,
    pub(crate) gauges: Arena<GaugeHandle>,
    pub(crate) histograms: Arena<HistogramHandle>,
    pub(crate) tokenizers: Arena<TokenizerHandle>,
    /// What wasi:nn has besides tensors.
    pub(crate) nn: NnHandles,
}

/// The call under way, or the instantiation.
pub(crate) struct CallState {
    pub(crate) clock: Arc<CallClock>,
    /// What the clock's deadline was made of.
    pub(crate) time: TimeLimit,
    pub(crate) account: Arc<Account>,
    /// `None` while the guest is being instantiated: it may not call models then.
    pub(crate) serving: Option<Serving>,
    pub(crate) host_calls: u64,
    pub(crate) model_calls: u32,
    /// Of those, the ones that the guest awaits the only response of.
    pub(crate) awaited_calls: AwaitedCalls,
    pub(crate) span_budget: SpanBudget,
    /// The last thing that was refused for a limit: what a guest traps over shortly after.
    pub(crate) refusal: Option<String>,
    /// Of a call that somebody asks about.
    pub(crate) reporter: Option<Box<CallReporter>>,
}

/// The request under way, or what the requests of a batch have in common.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) id: String,
    pub(crate) priority: u64,
    /// The longest chain of models that wait for a request of the batch.
    pub(crate) callers: Option<Arc<CallChain>>,
    /// The other requests' chains.
    pub(crate) more_callers: Vec<Arc<CallChain>>,
    pub(crate) trace: Option<Arc<dyn RequestTrace>>,
    /// On whose account the call goes; nobody's when those of a batch are of several.
    pub(crate) tenant: SharedTenant,
}

// === impl PluginState ===

impl PluginState {
    /// What a guest of the plugin begins with; its linear memory is added to `guests_bytes` for as long as it lives.
    pub(crate) fn new(spec: Arc<PluginSpec>, instance: Arc<str>, guests_bytes: Arc<AtomicU64>) -> Self {
        Self {
            meter: MemoryMeter::new(&spec.limits, guests_bytes),
            life: GuestLife::begin(spec.usage.clone()),
            log: GuestLog::new(spec.clone()),
            time: GuestClock::start(spec.grants.clocks),
            wasi: None,
            call: CallState::new(&spec.limits, spec.limits.call_time(), None),
            spec,
            instance,
            tensors: Arena::new(),
            requests: Arena::new(),
            pending: Arena::new(),
            awaited: Arena::new(),
            spans: Arena::new(),
            senders: Arena::new(),
            counters: Arena::new(),
            gauges: Arena::new(),
            histograms: Arena::new(),
            tokenizers: Arena::new(),
            nn: NnHandles::new(),
        }
    }

    pub(crate) fn limits(&self) -> &PluginLimits {
        &self.spec.limits
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, serving: Serving) {
        self.life.work();
        self.call = CallState::new(&self.spec.limits, self.spec.limits.call_time(), Some(serving));
        self.call.reporter = self.spec.listener.as_ref().map(CallReporter::new);
        self.meter.refusal = None;
        self.time.move_on();
        self.log.begin_call();
    }

    /// Begins a call that answers nobody, and may not wait.
    pub(crate) fn begin_without_request(&mut self) {
        self.begin_apart(self.limits().call_time(), None);
    }

    /// Begins a call that answers nobody, and may call models and servers, on nobody's account. For the runtime's workers.
    pub(crate) fn begin_of_its_own(&mut self, time: TimeLimit) {
        self.life.work();
        self.begin_apart(time, Some(Serving::batch(iter::empty())));
    }

    fn begin_apart(&mut self, time: TimeLimit, serving: Option<Serving>) {
        self.call = CallState::new(&self.spec.limits, time, serving);
        self.meter.refusal = None;
        self.time.move_on();
        self.log.begin_call();
    }

    /// Ends a call: frees everything that the guest left open, and says how many handles that were.
    pub(crate) fn end(&mut self) -> usize {
        let open = self.handles_of_the_call() + self.nn.end_call();
        self.log.end_call();
        if let Some(serving) = &mut self.call.serving {
            // An idle guest must not keep a trace from being complete.
            serving.trace = None;
        }
        self.tensors.clear();
        self.requests.clear();
        self.pending.clear();
        self.awaited.clear();
        self.spans.clear();
        open
    }

    /// The guest's view of the system, made when it first looks.
    pub(crate) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Mutex::new(Wasi::new(&self.log, &self.spec, &self.time)))).get_mut()
    }

    fn open_handles(&self) -> usize {
        let metrics = self.counters.len() + self.gauges.len() + self.histograms.len() + self.tokenizers.len();
        self.handles_of_the_call() + self.senders.len() + metrics + self.nn.len()
    }

    fn handles_of_the_call(&self) -> usize {
        self.tensors.len() + self.requests.len() + self.pending.len() + self.awaited.len() + self.spans.len()
    }

    /// Whether the guest has returned while it awaits something still.
    pub(crate) fn is_awaiting(&self) -> bool {
        let receives = self.awaited.iter().any(AwaitedCall::is_receiving);
        let sends = self.senders.iter().any(|sender| sender.slot().is_sending());
        self.call.awaited_calls.count() > 0 || receives || sends
    }

    /// How many requests the guest still owes an answer.
    pub(crate) fn open_senders(&self) -> usize {
        self.senders.iter().filter(|sender| sender.slot().is_open()).count()
    }

    /// The tensors behind handles that the guest gives away.
    ///
    /// # Errors
    /// The outer one costs the guest: a handle that is none. The inner one is a tensor that is no valid one.
    pub(crate) fn take_outputs(&mut self, named: Vec<Named>) -> wasmtime::Result<Result<Vec<NamedTensor>, InferError>> {
        let mut outputs = Vec::with_capacity(named.len());
        for named in named {
            let mut handle = self.tensors.remove(named.data.rep()).ok_or(Stop::StaleHandle("tensor"))?;
            match handle.share() {
                Ok((tensor, _charge)) => outputs.push(NamedTensor::new(named.name, tensor)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(outputs))
    }

    /// A response that the guest gives away.
    ///
    /// # Errors
    /// As of [`Self::take_outputs`].
    pub(crate) fn take_response(&mut self, response: Response) -> wasmtime::Result<Result<InferResponse, InferError>> {
        let parameters = convert::parameters_in(response.parameters);
        Ok(self.take_outputs(response.outputs)?.map(|outputs| InferResponse { outputs, parameters }))
    }

    pub(crate) fn tensor(&self, handle: &Resource<TensorHandle>) -> wasmtime::Result<&TensorHandle> {
        self.tensors.get(handle.rep()).ok_or_else(|| Stop::StaleHandle("tensor").into())
    }

    pub(crate) fn tensor_mut(&mut self, handle: &Resource<TensorHandle>) -> wasmtime::Result<&mut TensorHandle> {
        self.tensors.get_mut(handle.rep()).ok_or_else(|| Stop::StaleHandle("tensor").into())
    }

    /// Gives the guest a handle, or notes why not.
    pub(crate) fn keep(
        &mut self,
        made: Result<TensorHandle, InferError>,
    ) -> Result<Resource<TensorHandle>, InferError> {
        let kept = made.and_then(|tensor| {
            self.check_handles()?;
            Ok(Resource::new_own(self.tensors.insert(tensor)))
        });
        kept.inspect_err(|error| self.note_refusal(error))
    }

    /// Whether one more handle is within the limit.
    pub(crate) fn check_handles(&self) -> Result<(), InferError> {
        let open = self.open_handles();
        if open < self.limits().handles_max as usize {
            return Ok(());
        }
        let text = format!("{open} handles are open, the limit (handles); close what is not needed");
        Err(InferError::resource_exhausted(text))
    }

    /// Remembers a refusal for the text of the trap that may follow.
    pub(crate) fn note_refusal(&mut self, error: &InferError) {
        if error.kind() == nereid_inference::ErrorKind::ResourceExhausted {
            self.call.refusal = Some(error.message().to_owned());
        }
    }

    /// What the guest does when it looks at the clocks: go on after letting others run, or stop.
    pub(crate) fn on_epoch(&self) -> wasmtime::Result<UpdateDeadline> {
        self.check_clocks()?;
        self.call.clock.end_turn();
        if self.call.serving.is_none() {
            // A guest may be started by a thread that blocks for it, where tokio's own yield would never be woken.
            return Ok(UpdateDeadline::Yield(1));
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }

    /// Whether the call may go on.
    pub(crate) fn check_clocks(&self) -> Result<(), Stop> {
        let (clock, limits) = (&self.call.clock, self.limits());
        if clock.remaining().is_zero() {
            return Err(Stop::WallTime(self.call.time));
        }
        if clock.cpu_time() >= limits.cpu_time_max {
            return Err(Stop::CpuTime(limits.cpu_time_max));
        }
        match clock.cancelled_for() {
            Some(since) if since >= CANCELLATION_GRACE => Err(Stop::Cancelled),
            _ => Ok(()),
        }
    }
}

// === impl Serving ===

impl Serving {
    /// One request.
    pub(crate) fn one(request: &InferRequest) -> Self {
        Self {
            id: request.id.clone(),
            priority: request.priority,
            callers: request.callers.clone(),
            more_callers: Vec::new(),
            trace: request.trace.clone(),
            tenant: request.tenant.clone(),
        }
    }

    /// A request of the guest's to another model, on behalf of this one.
    pub(crate) fn child(&self, inputs: Vec<NamedTensor>, callers: Arc<CallChain>) -> InferRequest {
        InferRequest {
            id: self.id.clone(),
            priority: self.priority,
            callers: Some(callers),
            tenant: self.tenant.clone(),
            trace: self.trace.as_ref().map(|trace| trace.child()),
            ..InferRequest::new(inputs)
        }
    }

    /// Several requests: models that the guest calls see the first one's id and trace, and the most urgent priority.
    pub(crate) fn batch<'a>(requests: impl Iterator<Item = &'a InferRequest>) -> Self {
        let mut serving =
            Self { id: String::new(), priority: 0, callers: None, more_callers: Vec::new(), trace: None, tenant: None };
        for (index, request) in requests.enumerate() {
            if index == 0 {
                serving.id.clone_from(&request.id);
                serving.priority = request.priority;
                serving.tenant.clone_from(&request.tenant);
            }
            if name_of(&serving.tenant) != name_of(&request.tenant) {
                serving.tenant = None;
            }
            serving.priority = more_urgent(serving.priority, request.priority);
            serving.trace = serving.trace.or_else(|| request.trace.clone());
            serving.more_callers.extend(request.callers.clone());
        }
        serving.callers = serving.more_callers.iter().max_by_key(|chain| chain.depth).cloned();
        serving
    }
}

fn name_of(tenant: &SharedTenant) -> Option<&str> {
    tenant.as_ref().map(|tenant| &**tenant.name())
}

/// 1 is the most urgent, 0 the model's default; a level that somebody asked for is kept.
fn more_urgent(left: u64, right: u64) -> u64 {
    match (left, right) {
        (0, asked) | (asked, 0) => asked,
        (left, right) => left.min(right),
    }
}

// === impl CallState ===

impl CallState {
    fn new(limits: &PluginLimits, time: TimeLimit, serving: Option<Serving>) -> Self {
        Self {
            clock: Arc::new(CallClock::start(time.max)),
            time,
            account: Account::new(limits.host_tensor_bytes_max),
            serving,
            host_calls: 0,
            model_calls: 0,
            awaited_calls: AwaitedCalls::default(),
            span_budget: SpanBudget::default(),
            refusal: None,
            reporter: None,
        }
    }
}
