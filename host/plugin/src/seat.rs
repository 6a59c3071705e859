//! The guest of one instance of a model that executes batches, where batches, readiness checks and draining find it.
//!
//! Promises: one of them has the guest at a time, in the order in which they came; whoever asks whether the instance is ready gets the
//! last answer at once, and has the guest asked again. Costs, for a batch, a lock that is free unless a check is under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nereid_inference::InferError;
use parking_lot::{Condvar, Mutex};
use tokio::{runtime::Handle, sync::MutexGuard};

use crate::{failure::CallFailure, plugin::Plugin, sandbox::Sandbox};

/// A guest is asked no more often.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// See the file's head.
pub(crate) struct Seat {
    plugin: Arc<Plugin>,
    instance: Arc<str>,
    /// `None` when it was lost; the next one who needs it makes another.
    guest: tokio::sync::Mutex<Option<Sandbox>>,
    /// Whether the guest was told, or need not be told, that nothing more is routed to it.
    is_drained: AtomicBool,
    heard: Mutex<Heard>,
    has_answered: Condvar,
}

/// What the guest said of itself.
#[derive(Default)]
struct Heard {
    is_being_asked: bool,
    answered: Option<Instant>,
    refusal: Option<InferError>,
}

// === impl Seat ===

impl Seat {
    pub(crate) fn new(plugin: Arc<Plugin>, instance: Arc<str>, guest: Sandbox) -> Arc<Self> {
        let is_drained = AtomicBool::new(!plugin.compiled.drains());
        let (heard, has_answered) = (Mutex::default(), Condvar::new());
        let guest = tokio::sync::Mutex::new(Some(guest));
        let seat = Arc::new(Self { plugin, instance, guest, is_drained, heard, has_answered });
        seat.plugin.add_seat(&seat);
        seat
    }

    /// The guest's place, when it is one's turn.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, Option<Sandbox>> {
        self.guest.lock().await
    }

    /// The guest out of its place, a fresh one where there is none.
    pub(crate) async fn take(&self, place: &mut Option<Sandbox>) -> Result<Sandbox, CallFailure> {
        match place.take() {
            Some(guest) => Ok(guest),
            None => Sandbox::start(&self.plugin, &self.instance).await,
        }
    }

    /// Puts the guest back, unless no call is to see what another one left.
    pub(crate) async fn put_back(&self, place: &mut Option<Sandbox>, guest: Option<Sandbox>) {
        *place = guest;
        if self.plugin.spec.fresh_guest_per_call {
            self.finalise(place).await;
        }
    }

    /// Gives the guest up.
    async fn finalise(&self, place: &mut Option<Sandbox>) {
        if let Some(guest) = place.take() {
            guest.finalise(&self.plugin).await;
        }
    }

    // --- readiness ---

    /// What the guest said last; has it asked again, once however many want to know. Must be called within a runtime for that.
    ///
    /// # Errors
    /// `Unavailable`: why it is not ready, or that it has not said yet.
    pub(crate) fn readiness(self: &Arc<Self>, now: Instant) -> Result<(), InferError> {
        if !self.plugin.compiled.checks_readiness() {
            return Ok(());
        }
        let mut heard = self.heard.lock();
        let is_old = heard.answered.is_none_or(|at| now.saturating_duration_since(at) >= CHECK_INTERVAL);
        if is_old
            && !heard.is_being_asked
            && let Ok(runtime) = Handle::try_current()
        {
            heard.is_being_asked = true;
            runtime.spawn(self.clone().check());
        }
        match (&heard.refusal, heard.answered) {
            (Some(refusal), _) => Err(refusal.clone()),
            (None, None) => Err(self.not_ready("it has not been asked yet")),
            (None, Some(_)) => Ok(()),
        }
    }

    /// Has the guest asked, and waits for the answer, but no longer than a check may take. Must be called within a runtime, and on
    /// none of its workers.
    pub(crate) fn ask_first(self: &Arc<Self>) {
        if self.readiness(Instant::now()).is_ok() {
            return;
        }
        let until = Instant::now() + self.plugin.spec.limits.readiness_time_max;
        let mut heard = self.heard.lock();
        while heard.is_being_asked && !self.has_answered.wait_until(&mut heard, until).timed_out() {}
    }

    async fn check(self: Arc<Self>) {
        let mut place = self.lock().await;
        let (guest, said) = match self.take(&mut place).await {
            Ok(guest) => guest.check(&self.plugin).await,
            Err(failure) => (None, Err(failure.error)),
        };
        self.put_back(&mut place, guest).await;
        drop(place);
        let refusal = said.err().map(|error| self.not_ready(error.message()));
        *self.heard.lock() = Heard { is_being_asked: false, answered: Some(Instant::now()), refusal };
        self.has_answered.notify_all();
    }

    /// As upstream says it of models in Python.
    fn not_ready(&self, why: &str) -> InferError {
        let instance = &self.instance;
        InferError::unavailable(format!("Model '{instance}' is not ready (user-defined check failed): {why}"))
    }

    // --- the end ---

    /// Nothing more is routed to the instance: the guest is told so, once, when it is its turn.
    pub(crate) async fn drain(self: Arc<Self>) {
        if self.is_drained.swap(true, Relaxed) {
            return;
        }
        let mut place = self.lock().await;
        if let Some(guest) = place.take() {
            *place = guest.drain(&self.plugin).await;
        }
    }

    /// The instance is gone.
    pub(crate) async fn leave(self: Arc<Self>) {
        self.clone().drain().await;
        let mut place = self.lock().await;
        self.finalise(&mut place).await;
    }
}
