//! The life of a model as a guest exports it, and what it exports beside: in functions that return, or in functions that await.
//!
//! Both are called with the store in hand, one at a time. While a function of the second kind is under way wasmtime runs the guest's
//! other tasks too, and a guest in which nothing can go on any more traps. A panic of wasmtime's in one is an error like a trap: with
//! debug assertions there is one where a task ends without a result, and a guest must not reach whoever called it.

use std::{any::Any, future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use wasmtime::{Store, component::Resource};

use crate::{
    bindings::{
        exports::nereid::{
            plugin::{self as exports, model::Outcome},
            plugin_async::{self as async_exports, model::Outcome as AsyncOutcome},
        },
        nereid::plugin::types::Error,
    },
    compile::Twin,
    imports::serving::RequestHandle,
    state::PluginState,
};

pub(super) type ModelExport = Twin<exports::model::Guest, async_exports::model::Guest>;
pub(super) type ReadinessExport = Twin<exports::readiness::Guest, async_exports::readiness::Guest>;
pub(super) type DrainingExport = Twin<exports::draining::Guest, async_exports::draining::Guest>;

// === impl ModelExport ===

impl ModelExport {
    pub(super) async fn initialise(&self, store: &mut Store<PluginState>) -> wasmtime::Result<Result<(), Error>> {
        match self {
            Self::Returning(guest) => guest.call_initialise(store).await,
            Self::Awaiting(guest) => Ok(contained(guest.func_initialise().call_async(store, ())).await?.0),
        }
    }

    pub(super) async fn execute(
        &self,
        store: &mut Store<PluginState>,
        batch: Vec<Resource<RequestHandle>>,
    ) -> wasmtime::Result<Vec<Outcome>> {
        match self {
            Self::Returning(guest) => guest.call_execute(store, &batch).await,
            Self::Awaiting(guest) => {
                let (outcomes,) = contained(guest.func_execute().call_async(store, (batch,))).await?;
                Ok(outcomes.into_iter().map(Outcome::from).collect())
            }
        }
    }

    pub(super) async fn finalise(&self, store: &mut Store<PluginState>) -> wasmtime::Result<()> {
        match self {
            Self::Returning(guest) => guest.call_finalise(store).await,
            Self::Awaiting(guest) => contained(guest.func_finalise().call_async(store, ())).await,
        }
    }
}

// === impl ReadinessExport ===

impl ReadinessExport {
    pub(super) async fn check(&self, store: &mut Store<PluginState>) -> wasmtime::Result<Result<(), Error>> {
        match self {
            Self::Returning(guest) => guest.call_check(store).await,
            Self::Awaiting(guest) => Ok(contained(guest.func_check().call_async(store, ())).await?.0),
        }
    }
}

// === impl DrainingExport ===

impl DrainingExport {
    pub(super) async fn drain(&self, store: &mut Store<PluginState>) -> wasmtime::Result<()> {
        match self {
            Self::Returning(guest) => guest.call_drain(store).await,
            Self::Awaiting(guest) => contained(guest.func_drain().call_async(store, ())).await,
        }
    }
}

// === impl Outcome ===

impl From<AsyncOutcome> for Outcome {
    fn from(outcome: AsyncOutcome) -> Self {
        match outcome {
            AsyncOutcome::Answer(response) => Self::Answer(response),
            AsyncOutcome::Failure(error) => Self::Failure(error),
            AsyncOutcome::Deferred => Self::Deferred,
            AsyncOutcome::Reschedule(states) => Self::Reschedule(states),
        }
    }
}

/// See the file's head.
async fn contained<T>(call: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|panic| Err(wasmtime::Error::msg(panicked(&*panic))))
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the sandbox panicked: {}", text.unwrap_or("without a text"))
}
