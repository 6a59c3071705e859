//! The warm guests of one instance of a model whose plugin answers one request at a time.
//!
//! A guest is reused across calls, which costs two microseconds instead of ten; it is replaced after a trap, a limit, a
//! cancelled call, a number of calls, and when its memory has grown, because linear memory never shrinks.

use std::sync::Arc;

use nereid_inference::{CheckedRequest, InferError, InferResponse};
use nereid_telemetry::{GuestEnd, Usage};

use crate::{
    failure::{CallFailure, PluginError},
    metering::count_answer,
    plugin::Plugin,
    reaper::IdleGuests,
    sandbox::Sandbox,
};

/// Guests of one plugin, for the calls of one model instance.
pub struct SandboxPool {
    plugin: Arc<Plugin>,
    instance: Arc<str>,
    idle: Arc<IdleGuests>,
}

// === impl SandboxPool ===

impl SandboxPool {
    /// A pool for the model's instance of that name, with one warm guest. Blocks the calling thread while the guest starts.
    ///
    /// # Errors
    /// The guest cannot be started.
    pub fn start(plugin: Arc<Plugin>, instance: &str) -> Result<Self, PluginError> {
        let instance = Arc::from(instance);
        let first = plugin.start_guest(&instance)?;
        let idle = IdleGuests::new(plugin.spec.life.idle, first);
        plugin.engine.reaper().look_after(&idle);
        Ok(Self { plugin, instance, idle })
    }

    /// Answers one request in a guest of its own. Any number of calls may run at the same time.
    ///
    /// `cancelled` is asked whenever the call is polled. Dropping the future ends the call, its guest and the requests that it
    /// made.
    ///
    /// # Errors
    /// The guest's own error, a trap, a limit, an answer that does not fit the signature; or guests failed so often that none is
    /// entered for a while.
    pub async fn run(
        &self,
        request: &CheckedRequest,
        cancelled: impl Fn() -> bool + Send,
    ) -> Result<InferResponse, InferError> {
        let pass = self.plugin.gate.enter()?;
        let usage = self.plugin.spec.usage_for(request);
        let answer = self.run_in_a_guest((request, &usage), cancelled).await;
        pass.end(&answer);
        let wants = |name: &str| request.wants(name);
        let answer = answer.map_err(|failure| failure.error);
        let checked =
            answer.and_then(|response| crate::output::check(&self.plugin.spec, request.batch_size(), wants, response));
        count_answer(&usage, &checked);
        checked
    }

    async fn run_in_a_guest(
        &self,
        call: (&CheckedRequest, &Arc<Usage>),
        cancelled: impl Fn() -> bool + Send,
    ) -> Result<InferResponse, CallFailure> {
        let guest = match self.idle.take() {
            Some(guest) => guest,
            None => Sandbox::start(&self.plugin, &self.instance).await?,
        };
        let (guest, answer) = guest.run(&self.plugin, call, cancelled).await;
        if let Some(guest) = guest {
            self.give_back(guest);
        }
        answer
    }

    fn give_back(&self, guest: Sandbox) {
        if self.plugin.spec.fresh_guest_per_call {
            return guest.retire(GuestEnd::Surplus);
        }
        match self.idle.keep(guest) {
            Ok(false) => {}
            Ok(true) => self.plugin.engine.reaper().note_surplus(),
            Err(guest) => guest.retire(GuestEnd::Surplus),
        }
    }
}
