//! One guest: its store, its exports, and how a call of it is watched.
//!
//! A call takes the guest by value and gives it back only when it may be used again, so that a guest that trapped, was stopped
//! or was abandoned in mid-call cannot be entered a second time.

mod agent;
mod apart;
mod batching;
mod model;
mod model_export;
mod transform;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use nereid_telemetry::GuestEnd;
use wasmtime::{Store, component::Instance};

use self::model_export::{DrainingExport, ModelExport, ReadinessExport};
pub(crate) use self::{
    batching::Step,
    model::{Answer, Question},
};
use crate::{
    bindings::exports::nereid::plugin as exports,
    clock::CallClock,
    compile::{AdditionalExports, Exports, Twin},
    failure::{CallFailure, explain},
    plugin::Plugin,
    state::PluginState,
};

/// A guest whose memory has grown beyond this share of its limit is replaced while it is idle, not when it fails.
const MEMORY_HIGH_WATER_PERCENT: u64 = 75;

/// Handles that the host's own functions borrow for the time of one host call.
const HANDLES_LENT_MAX: usize = 2048;

/// A guest that may be entered.
pub(crate) struct Sandbox {
    store: Store<PluginState>,
    exported: Exported,
    additional: Box<Additional>,
    invocations: u64,
    /// Handles that the guest never closed; it still counts them although the host freed what they stood for.
    leaked_handles: usize,
}

/// What the host calls of it.
#[derive(Clone)]
enum Exported {
    Transform(exports::transform::Guest),
    Model(ModelExport),
    Agent(exports::agent::Guest),
    Batching(Box<exports::batching::Guest>),
}

/// What it may export besides.
#[derive(Clone)]
struct Additional {
    completion: Option<exports::completion::Guest>,
    readiness: Option<ReadinessExport>,
    draining: Option<DrainingExport>,
}

/// Wakes a thread that waits for a future.
struct ThreadWaker(Thread);

// === impl Sandbox ===

impl Sandbox {
    /// Makes a fresh guest for the instance of that name, initialised if it wants to be. What it does meanwhile is limited
    /// like a call.
    ///
    /// # Errors
    /// It trapped, met a limit, refused to be initialised, or no sandbox is free.
    pub(crate) async fn start(plugin: &Arc<Plugin>, instance: &Arc<str>) -> Result<Self, CallFailure> {
        let mut sandbox = Self::make(plugin, instance).await?;
        let _ticking = plugin.engine.ticker().tick();
        sandbox.initialise(plugin).await?;
        sandbox.store.data_mut().life.rest();
        Ok(sandbox)
    }

    /// Makes a fresh guest, which is not initialised.
    async fn make(plugin: &Arc<Plugin>, instance: &Arc<str>) -> Result<Self, CallFailure> {
        let _ticking = plugin.engine.ticker().tick();
        let limits = &plugin.spec.limits;
        let state = PluginState::new(plugin.spec.clone(), instance.clone(), plugin.guests_bytes.clone());
        let mut store = Store::new(plugin.compiled.pre().engine(), state);
        store.limiter(|state| &mut state.meter);
        store.epoch_deadline_callback(|context| context.data().on_epoch());
        store.set_epoch_deadline(1);
        // What a guest may hand to the host in one call: no more than its memory holds.
        store.set_hostcall_fuel(usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX));
        // Beyond the limit that the host counts by itself there must be room for leaked handles and for those lent out.
        store.set_max_component_handles(limits.handles_max as usize * 2 + HANDLES_LENT_MAX);
        let clock = store.data().call.clock.clone();
        let starting = plugin.compiled.pre().instantiate_async(&mut store);
        let instance = plugin.engine.long_calls().run(&clock, || false, starting).await;
        let loaded = instance.and_then(|instance| {
            let exported = match plugin.compiled.exports() {
                Exports::Transform(indices) => indices.load(&mut store, &instance).map(Exported::Transform),
                Exports::Model(indices) => {
                    indices.load(&mut store, &instance).map(|guest| Exported::Model(ModelExport::Returning(guest)))
                }
                Exports::AsyncModel(indices) => {
                    indices.load(&mut store, &instance).map(|guest| Exported::Model(ModelExport::Awaiting(guest)))
                }
                Exports::Agent(indices) => indices.load(&mut store, &instance).map(Exported::Agent),
                Exports::Batching(indices) => {
                    indices.load(&mut store, &instance).map(|guest| Exported::Batching(Box::new(guest)))
                }
            };
            Ok((exported?, Additional::load(plugin.compiled.additional(), &mut store, &instance)?))
        });
        let (exported, additional) = loaded.map_err(|error| explain(store.data_mut(), &error))?;
        Ok(Self { store, exported, additional: Box::new(additional), invocations: 0, leaked_handles: 0 })
    }

    /// Frees what the guest left open, and keeps the guest unless it is worn out.
    fn end(mut self) -> Result<Self, Retired> {
        self.invocations += 1;
        let state = self.store.data_mut();
        let is_awaiting = state.is_awaiting();
        self.leaked_handles += state.end();
        let limits = &state.spec.limits;
        let high_water = limits.memory_bytes_max / 100 * MEMORY_HIGH_WATER_PERCENT;
        if is_awaiting {
            // It would go on in somebody else's call.
            state.life.retire(GuestEnd::Handles);
            return Err(Retired(self));
        }
        let worn_out = if self.invocations >= limits.invocations_max {
            Some(GuestEnd::Invocations)
        } else if self.leaked_handles + state.nn.len() > limits.handles_max as usize / 2 {
            Some(GuestEnd::Handles)
        } else if state.meter.memory_bytes as u64 > high_water {
            Some(GuestEnd::Memory)
        } else {
            None
        };
        // A guest that owes answers goes on until it has given them.
        match worn_out.filter(|_| state.open_senders() == 0) {
            Some(end) => {
                state.life.retire(end);
                Err(Retired(self))
            }
            None => {
                state.life.rest();
                Ok(self)
            }
        }
    }

    /// Drops the guest for this reason.
    pub(crate) fn retire(mut self, end: GuestEnd) {
        self.store.data_mut().life.retire(end);
    }
}

/// A guest that still works and is not to be used again.
pub(crate) struct Retired(pub(crate) Sandbox);

/// Runs a call of a guest with its second clock going while it is polled; `cancelled` is asked at each poll.
async fn clocked<T>(clock: &CallClock, cancelled: impl Fn() -> bool, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    poll_fn(|context| {
        clock.resume(cancelled());
        let poll = call.as_mut().poll(context);
        clock.pause();
        poll
    })
    .await
}

// === impl Additional ===

impl Additional {
    fn load(
        exports: &AdditionalExports,
        store: &mut Store<PluginState>,
        instance: &Instance,
    ) -> wasmtime::Result<Self> {
        let AdditionalExports { completion, readiness, draining } = exports;
        let readiness = readiness.as_ref().map(|indices| match indices {
            Twin::Returning(indices) => indices.load(&mut *store, instance).map(Twin::Returning),
            Twin::Awaiting(indices) => indices.load(&mut *store, instance).map(Twin::Awaiting),
        });
        let draining = draining.as_ref().map(|indices| match indices {
            Twin::Returning(indices) => indices.load(&mut *store, instance).map(Twin::Returning),
            Twin::Awaiting(indices) => indices.load(&mut *store, instance).map(Twin::Awaiting),
        });
        Ok(Self {
            completion: completion.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            readiness: readiness.transpose()?,
            draining: draining.transpose()?,
        })
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
