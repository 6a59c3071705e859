//! One guest: its store, its instance, and one call of it.
//!
//! A call takes the guest by value and gives it back only when it may be used again, so that a guest that trapped, was stopped
//! or was abandoned in mid-call cannot be entered a second time.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use wasmtime::{Store, component::Resource};

use crate::{
    bindings::{
        TransformPlugin,
        nereid::plugin::{serving::Response, tensors::Named},
    },
    convert,
    failure::{Stop, explain},
    imports::serving::RequestHandle,
    plugin::Plugin,
    state::{PluginState, Serving},
    tensor_handle::TensorHandle,
};

/// A guest whose memory has grown beyond this share of its limit is replaced while it is idle, not when it fails.
const MEMORY_HIGH_WATER_PERCENT: u64 = 75;

/// Handles that the host's own functions borrow for the time of one host call.
const HANDLES_LENT_MAX: usize = 2048;

/// A guest that may be entered.
pub(crate) struct Sandbox {
    store: Store<PluginState>,
    instance: TransformPlugin,
    invocations: u64,
    /// Handles that the guest never closed; it still counts them although the host freed what they stood for.
    leaked_handles: usize,
}

/// Wakes a thread that waits for a future.
struct ThreadWaker(Thread);

// === impl Sandbox ===

impl Sandbox {
    /// Makes a fresh guest. What it does while it starts is limited like a call.
    ///
    /// # Errors
    /// It trapped, met a limit, or no sandbox is free.
    pub(crate) async fn start(plugin: &Arc<Plugin>) -> Result<Self, InferError> {
        let _ticking = plugin.engine.ticker().tick();
        let limits = &plugin.spec.limits;
        let mut store =
            Store::new(plugin.engine.engine(), PluginState::new(plugin.spec.clone(), plugin.guests_bytes.clone()));
        store.limiter(|state| &mut state.meter);
        store.epoch_deadline_callback(|context| context.data().on_epoch());
        store.set_epoch_deadline(1);
        // What a guest may hand to the host in one call: no more than its memory holds.
        store.set_hostcall_fuel(usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX));
        // Beyond the limit that the host counts by itself there must be room for leaked handles and for those lent out.
        store.set_max_component_handles(limits.handles_max as usize * 2 + HANDLES_LENT_MAX);
        let clock = store.data().call.clock.clone();
        let started = {
            let mut starting = pin!(plugin.compiled.pre().instantiate_async(&mut store));
            poll_fn(|context| {
                clock.resume(false);
                let poll = starting.as_mut().poll(context);
                clock.pause();
                poll
            })
            .await
        };
        match started {
            Ok(instance) => Ok(Self { store, instance, invocations: 0, leaked_handles: 0 }),
            Err(error) => Err(explain(store.data(), &error)),
        }
    }

    /// Answers one request, and gives the guest back when it may be used again.
    pub(crate) async fn run(
        mut self,
        plugin: &Plugin,
        request: &CheckedRequest,
        cancelled: impl Fn() -> bool + Send,
    ) -> (Option<Self>, Result<InferResponse, InferError>) {
        let _ticking = plugin.engine.ticker().tick();
        let (handle, inputs) = self.begin(request);
        let clock = self.store.data().call.clock.clone();
        let returned = {
            let transform = self.instance.nereid_plugin_transform();
            let mut call = pin!(transform.call_run(&mut self.store, handle, &inputs));
            poll_fn(|context| {
                clock.resume(cancelled());
                let poll = call.as_mut().poll(context);
                clock.pause();
                poll
            })
            .await
        };
        let answer = match returned {
            Ok(Ok(response)) => self.collect(response),
            Ok(Err(error)) => {
                let subject = plugin.spec.subject();
                Ok(Err(convert::infer_error(error).prefixed(&format!("{subject}: "))))
            }
            Err(trap) => Err(explain(self.store.data(), &trap)),
        };
        match answer {
            Ok(answer) => (self.end(), answer),
            Err(fatal) => (None, Err(fatal)),
        }
    }

    /// Gives the guest its request and inputs.
    fn begin(&mut self, checked: &CheckedRequest) -> (Resource<RequestHandle>, Vec<Named>) {
        let request = checked.get();
        let state = self.store.data_mut();
        state.begin(Serving {
            id: request.id.clone(),
            priority: request.priority,
            callers: request.callers.clone(),
            trace: request.trace.clone(),
        });
        let handle = Resource::new_own(state.requests.insert(RequestHandle::new(checked)));
        let inputs = request.inputs.iter().map(|input| {
            let tensor = TensorHandle::free_of_charge(input.tensor.clone());
            Named { name: input.name.to_string(), data: Resource::new_own(state.tensors.insert(tensor)) }
        });
        let inputs = inputs.collect();
        self.store.set_epoch_deadline(1);
        (handle, inputs)
    }

    /// The tensors behind the handles that the guest returned; the outer error costs the guest.
    fn collect(&mut self, response: Response) -> Result<Result<InferResponse, InferError>, InferError> {
        let state = self.store.data_mut();
        let mut outputs = Vec::with_capacity(response.outputs.len());
        for named in response.outputs {
            let Some(mut handle) = state.tensors.remove(named.data.rep()) else {
                return Err(explain(state, &Stop::StaleHandle("tensor").into()));
            };
            match handle.share() {
                Ok((tensor, _charge)) => outputs.push(NamedTensor::new(named.name, tensor)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(InferResponse { outputs, parameters: convert::parameters_in(response.parameters) }))
    }

    /// Frees what the guest left open, and keeps the guest unless it is worn out.
    fn end(mut self) -> Option<Self> {
        self.invocations += 1;
        let state = self.store.data_mut();
        self.leaked_handles += state.end();
        let limits = &state.spec.limits;
        let high_water = limits.memory_bytes_max / 100 * MEMORY_HIGH_WATER_PERCENT;
        let worn_out = self.invocations >= limits.invocations_max
            || self.leaked_handles > limits.handles_max as usize / 2
            || state.meter.memory_bytes as u64 > high_water;
        (!worn_out).then_some(self)
    }
}

// === impl ThreadWaker ===

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on the calling thread, whatever executor it belongs to: a guest that starts never waits for anything but its turn.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
