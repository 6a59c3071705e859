//! `nereid:plugin-async`: what a guest awaits, of which there may be several at once.
//!
//! Each function takes what it needs out of the guest's store, waits without it, and goes back in with what came. Refused is what is
//! refused by `inference` and `serving.sender`, in the same words. Nobody waits beyond the deadline of the guest's own call, and what a
//! guest gives up is dropped here, which cancels it.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use nereid_inference::{InferError, InferResponse};
use parking_lot::Mutex;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::inference::{Patience, PendingCall, PreparedCall, Waited};
use crate::{
    bindings::nereid::{
        plugin::{inference::Call, serving::Response, types::Error},
        plugin_async::{inference, sending},
    },
    convert,
    failure::Stop,
    sender::{SenderHandle, SenderSlot},
    state::PluginState,
};

/// A call that may have many responses.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct AwaitedCall {
    /// Shared with whoever awaits the next response, and locked while it is looked for.
    call: Arc<Mutex<PendingCall>>,
    is_receiving: Arc<AtomicBool>,
}

/// Calls whose only response a guest awaits.
#[derive(Default)]
pub(crate) struct AwaitedCalls(Arc<AtomicUsize>);

/// One of them, until this is dropped.
struct Awaiting(Arc<AtomicUsize>);

/// The next response of a call, awaited until this is dropped.
struct Receiving {
    call: Arc<Mutex<PendingCall>>,
    is_receiving: Arc<AtomicBool>,
    patience: Patience,
}

/// A call whose only response is to be awaited.
struct Asking {
    call: PreparedCall,
    patience: Patience,
    _awaiting: Awaiting,
}

/// A response that is to be sent.
struct Sending {
    slot: Arc<SenderSlot>,
    response: InferResponse,
    patience: Patience,
}

/// The inner error is the guest's to handle, the outer one costs it.
type Fallible<T> = wasmtime::Result<Result<T, InferError>>;

type Handle = Resource<AwaitedCall>;

// === impl PluginState ===

impl PluginState {
    fn ask(&mut self, call: Call) -> Fallible<Asking> {
        let call = self.prepare_call("plugin-async/inference.infer", call)?;
        Ok(call.and_then(|call| {
            self.check_calls_under_way()?;
            Ok(Asking { call, patience: self.patience(), _awaiting: self.call.awaited_calls.begin() })
        }))
    }

    fn begin_receiving(&mut self, handle: &Handle) -> Fallible<Receiving> {
        self.enter("plugin-async/inference.pending.receive")?;
        let awaited = self.awaited.get(handle.rep()).ok_or(Stop::StaleHandle("pending"))?;
        let (call, is_receiving) = (awaited.call.clone(), awaited.is_receiving.clone());
        if is_receiving.swap(true, Relaxed) {
            let text = "the next response of this call is being awaited; await that first";
            return Ok(Err(InferError::invalid_argument(text)));
        }
        Ok(Ok(Receiving { call, is_receiving, patience: self.patience() }))
    }

    fn begin_sending(&mut self, handle: &Resource<SenderHandle>, response: Response) -> Fallible<Sending> {
        self.enter("plugin-async/sending.send")?;
        let response = self.take_response(response)?;
        let sender = self.senders.get(handle.rep()).ok_or(Stop::StaleHandle("sender"))?;
        let (slot, patience) = (sender.slot().clone(), self.patience());
        Ok(response.map(|response| Sending { slot, response, patience }))
    }

    /// Begun right here: a function that a guest calls and does not await runs where wasmtime polls nothing of the guest's, so that the
    /// model may be a plugin. It holds the guest up until it waits or its turn is over.
    fn keep_awaited(&mut self, prepared: Result<PreparedCall, InferError>) -> Result<Handle, InferError> {
        let prepared = prepared?;
        self.check_calls_under_way()?;
        self.check_handles()?;
        Ok(Resource::new_own(self.awaited.insert(AwaitedCall::new(self.begin_call(prepared)))))
    }

    /// What the guest is told of an error.
    fn refuse<T>(&mut self, result: Result<T, InferError>) -> Result<T, Error> {
        result.inspect_err(|error| self.note_refusal(error)).map_err(convert::error)
    }
}

impl inference::Host for PluginState {
    fn submit(&mut self, call: Call) -> wasmtime::Result<Result<Handle, Error>> {
        let prepared = self.prepare_call("plugin-async/inference.submit", call)?;
        let kept = self.keep_awaited(prepared);
        Ok(self.refuse(kept))
    }
}

impl<T: Send> inference::HostWithStore<T> for HasSelf<PluginState> {
    async fn infer(accessor: &Accessor<T, Self>, call: Call) -> wasmtime::Result<Result<Response, Error>> {
        let answer = match accessor.with(|mut access| access.get().ask(call))? {
            Ok(asking) => asking.answer().await?,
            Err(error) => Err(error),
        };
        Ok(accessor.with(|mut access| {
            let state = access.get();
            let given = answer.and_then(|response| state.hand_over(response));
            state.refuse(given)
        }))
    }
}

impl inference::HostPending for PluginState {
    fn cancel(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.enter("plugin-async/inference.pending.cancel")?;
        self.awaited.get(handle.rep()).ok_or(Stop::StaleHandle("pending"))?.call.lock().cancel();
        Ok(())
    }

    /// A handle of an earlier call is gone already.
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.awaited.remove(handle.rep());
        Ok(())
    }
}

impl<T: Send> inference::HostPendingWithStore<T> for HasSelf<PluginState> {
    async fn receive(
        accessor: &Accessor<T, Self>,
        handle: Handle,
    ) -> wasmtime::Result<Result<Option<Response>, Error>> {
        let received = match accessor.with(|mut access| access.get().begin_receiving(&handle))? {
            Ok(receiving) => receiving.next().await?,
            Err(error) => Err(error),
        };
        Ok(accessor.with(|mut access| {
            let state = access.get();
            let given = received.and_then(|response| response.map(|response| state.hand_over(response)).transpose());
            state.refuse(given)
        }))
    }
}

impl sending::Host for PluginState {}

impl<T: Send> sending::HostWithStore<T> for HasSelf<PluginState> {
    async fn send(
        accessor: &Accessor<T, Self>,
        to: Resource<SenderHandle>,
        response: Response,
        last: bool,
    ) -> wasmtime::Result<Result<(), Error>> {
        let sent = match accessor.with(|mut access| access.get().begin_sending(&to, response))? {
            Ok(Sending { slot, response, patience }) => {
                patience.within_deadline(slot.send_next(response, last)).await?
            }
            Err(error) => Err(error),
        };
        Ok(sent.map_err(convert::error))
    }
}

// === impl AwaitedCall ===

impl AwaitedCall {
    fn new(call: PendingCall) -> Self {
        Self { call: Arc::new(Mutex::new(call)), is_receiving: Arc::default() }
    }

    /// Whether the guest awaits the next response.
    pub(crate) fn is_receiving(&self) -> bool {
        self.is_receiving.load(Relaxed)
    }
}

// === impl AwaitedCalls ===

impl AwaitedCalls {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    fn begin(&self) -> Awaiting {
        self.0.fetch_add(1, Relaxed);
        Awaiting(self.0.clone())
    }
}

// === impl Awaiting ===

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

// === impl Asking ===

impl Asking {
    async fn answer(self) -> Result<Result<InferResponse, InferError>, Stop> {
        match self.patience.within_deadline(self.call.begin_elsewhere()).await? {
            Ok(pending) => pending.receive_only(&self.patience).await,
            Err(error) => Ok(Err(error)),
        }
    }
}

// === impl Receiving ===

impl Receiving {
    async fn next(self) -> Result<Result<Option<InferResponse>, InferError>, Stop> {
        let give_up = self.call.lock().give_up();
        let next = poll_fn(|context| self.call.lock().poll_receive(context));
        let waited = self.patience.wait(give_up, next).await?;
        let call = self.call.lock();
        Ok(match waited {
            Waited::Done(response) => response.transpose().map_err(|error| call.blame(error)),
            Waited::GaveUp => Err(call.timed_out()),
        })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.is_receiving.store(false, Relaxed);
    }
}
