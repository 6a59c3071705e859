//! The breaker as calls meet it: what it decides is counted, logged and told to clients here.
//!
//! Costs, while nothing is amiss, two atomic loads per call. Clients learn that requests are refused and for how long; why is for the log
//! and the repository's index, because it may show what another client sent.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nereid_inference::InferError;
use parking_lot::Mutex;

use crate::{
    breaker::{Admission, Breaker, CallEnd, Change},
    failure::CallFailure,
    plugin::PluginSpec,
};

/// The gate of one generation.
pub(crate) struct Gate {
    spec: Arc<PluginSpec>,
    /// Whether there is nothing to ask the breaker, and nothing to tell it but a lost guest.
    is_clean: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    breaker: Breaker,
    /// How the last guest was lost.
    why: String,
}

/// A call that was let in; dropped, it is one of which nothing is known.
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    is_trial: bool,
    is_over: bool,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(spec: Arc<PluginSpec>) -> Self {
        let breaker = Breaker::new(spec.life.breaker);
        Self { spec, is_clean: AtomicBool::new(true), inner: Mutex::new(Inner { breaker, why: String::new() }) }
    }

    /// A call wants to enter a guest.
    ///
    /// # Errors
    /// `Unavailable`: the plugin is let rest.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, InferError> {
        let pass = |is_trial| Pass { gate: self, is_trial, is_over: false };
        if self.is_clean.load(Ordering::Acquire) {
            return Ok(pass(false));
        }
        let admission = self.inner.lock().breaker.admit(Instant::now());
        match admission {
            Admission::Free => Ok(pass(false)),
            Admission::Trial => Ok(pass(true)),
            Admission::Refused { wait } => {
                self.spec.usage.guests().refused();
                let refusal =
                    InferError::unavailable(format!("{}; try again in {}", self.resting(), milliseconds(wait)));
                Err(refusal.retry_after(wait))
            }
        }
    }

    /// Whether calls are let in.
    ///
    /// # Errors
    /// They are refused at `now`, with the reason.
    pub(crate) fn readiness(&self, now: Instant) -> Result<(), InferError> {
        if self.is_clean.load(Ordering::Acquire) {
            return Ok(());
        }
        let inner = self.inner.lock();
        match inner.breaker.is_refusing(now) {
            false => Ok(()),
            true => Err(InferError::unavailable(format!("{}; the last one: {}", self.resting(), inner.why))),
        }
    }

    fn resting(&self) -> String {
        let failures = self.spec.life.breaker.failures;
        format!("{} refuses requests for a while, because {failures} guests failed in a row", self.spec.subject())
    }

    fn end(&self, is_trial: bool, end: CallEnd, why: &str) {
        if end != CallEnd::Lost && self.is_clean.load(Ordering::Acquire) {
            return;
        }
        let mut inner = self.inner.lock();
        if end == CallEnd::Lost {
            why.clone_into(&mut inner.why);
        }
        let change = inner.breaker.end(is_trial, end, Instant::now());
        self.is_clean.store(inner.breaker.is_clean(), Ordering::Release);
        drop(inner);
        if let Some(change) = change {
            self.tell(change, why);
        }
    }

    fn tell(&self, change: Change, why: &str) {
        let (figures, subject) = (self.spec.usage.guests(), self.spec.subject());
        match change {
            Change::Opened { backoff } => {
                figures.breaker_opened(false);
                let failures = self.spec.life.breaker.failures;
                tracing::warn!(
                    "{subject}: requests are refused for {backoff:?}, {failures} guests failed in a row: {why}"
                );
            }
            Change::OpenedAgain { backoff } => {
                figures.breaker_opened(true);
                tracing::warn!("{subject}: requests are refused for {backoff:?} more, a trial failed as well: {why}");
            }
            Change::Closed => {
                figures.breaker_closed();
                tracing::info!("{subject}: requests are served again, a trial was answered");
            }
        }
    }
}

/// A gate that leaves closed is not one of those that are.
impl Drop for Gate {
    fn drop(&mut self) {
        if self.inner.get_mut().breaker.is_open() {
            self.spec.usage.guests().breaker_closed();
        }
    }
}

fn milliseconds(wait: Duration) -> String {
    format!("{} ms", wait.as_micros().div_ceil(1000).max(1))
}

// === impl Pass ===

impl Pass<'_> {
    /// The call is over.
    pub(crate) fn end<T>(mut self, outcome: &Result<T, CallFailure>) {
        self.is_over = true;
        match outcome {
            Ok(_) => self.gate.end(self.is_trial, CallEnd::Returned, ""),
            Err(failure) => self.gate.end(self.is_trial, failure.end, failure.error.message()),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !mem::replace(&mut self.is_over, true) {
            self.gate.end(self.is_trial, CallEnd::Unknown, "");
        }
    }
}
