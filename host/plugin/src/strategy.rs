//! Batching strategies: components that are asked which requests share a batch.
//!
//! Promises: one guest forms one batch after the other, in the order in which it is asked; a guest that was lost is replaced with the next
//! batch. Whatever becomes of it is a verdict, counted and told in the log, at most once in ten seconds: whoever asks goes on.

use std::{
    fmt, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_inference::{BatchStrategy, Considering, InputProfile, RequestProfile, SequenceId, Verdict};
use parking_lot::Mutex;

use crate::{
    bindings::exports::nereid::plugin::batching::{CorrelationId, Input, Model, Request},
    breaker::CallEnd,
    convert,
    failure::{CallFailure, PluginError},
    plugin::Plugin,
    sandbox::{Sandbox, Step, block_on},
};

/// A strategy that fails does so for every batch; a line now and then says as much.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// What a strategy is told of its model, besides what [`PluginSpec`](crate::PluginSpec) says.
#[derive(Clone, Debug)]
pub struct StrategyModel {
    pub batch_rows_max: u32,
    /// The configuration as it is served, as JSON.
    pub config: String,
}

/// The strategy of one generation of a model.
pub struct PluginStrategy {
    plugin: Arc<Plugin>,
    instance: Arc<str>,
    model: Model,
    /// `None` while it is asked, and after it was lost.
    guest: Mutex<Option<Sandbox>>,
    failures: Mutex<Failures>,
}

/// Failures that the log has not been told of.
#[derive(Debug, Default)]
struct Failures {
    told: Option<Instant>,
    untold: u64,
}

// === impl PluginStrategy ===

impl PluginStrategy {
    /// A strategy with an initialised guest. Blocks the calling thread while it starts.
    ///
    /// # Errors
    /// The guest cannot be started, or refuses to be initialised.
    pub fn start(plugin: Arc<Plugin>, told: StrategyModel) -> Result<Arc<Self>, PluginError> {
        let identity = &plugin.spec.model;
        let parameters = plugin.spec.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let model = Model {
            name: identity.name.to_string(),
            version: identity.version,
            max_batch_size: told.batch_rows_max,
            config: told.config,
            parameters,
        };
        let instance = format!("{}_batching", identity.name).into();
        let (guest, failures) = (Mutex::default(), Mutex::default());
        let strategy = Self { plugin, instance, model, guest, failures };
        let started = block_on(strategy.start_guest()).map_err(|failure| PluginError::Start {
            origin: strategy.plugin.compiled.origin().to_owned(),
            reason: failure.error.message().to_owned(),
        })?;
        *strategy.guest.lock() = Some(started);
        Ok(Arc::new(strategy))
    }

    async fn start_guest(&self) -> Result<Sandbox, CallFailure> {
        let guest = Sandbox::start(&self.plugin, &self.instance).await?;
        guest.initialise_strategy(&self.plugin, &self.model).await
    }

    async fn include(&self, request: &RequestProfile, begins: bool) -> Result<bool, CallFailure> {
        let pass = self.plugin.gate.enter()?;
        let included = self.include_in_a_guest(request, begins).await;
        pass.end(&included);
        included
    }

    async fn include_in_a_guest(&self, request: &RequestProfile, begins: bool) -> Result<bool, CallFailure> {
        let kept = self.guest.lock().take();
        let mut guest = match kept {
            Some(guest) => guest,
            None => self.start_guest().await?,
        };
        if begins {
            let (Some(begun), _) = guest.form(&self.plugin, Step::Begin).await? else { return Ok(true) };
            guest = begun;
        }
        let (guest, joins) = guest.form(&self.plugin, Step::Include(request_out(request))).await?;
        *self.guest.lock() = guest;
        Ok(joins)
    }

    async fn finish(&self) -> Result<(), CallFailure> {
        // One that was lost has nothing to finish.
        let kept = self.guest.lock().take();
        let Some(guest) = kept else { return Ok(()) };
        let (guest, _) = guest.form(&self.plugin, Step::Finish).await?;
        *self.guest.lock() = guest;
        Ok(())
    }

    /// Tells the log that a guest was lost, unless it was told just now. That none is asked for a while the gate says itself.
    fn tell(&self, failure: &CallFailure) {
        if failure.end == CallEnd::Returned {
            return;
        }
        let now = Instant::now();
        let mut failures = self.failures.lock();
        failures.untold += 1;
        if failures.told.is_some_and(|told| now.duration_since(told) < LOG_PAUSE) {
            return;
        }
        failures.told = Some(now);
        let untold = mem::take(&mut failures.untold);
        tracing::warn!(
            "{}; its batches are formed by rows and shapes alone ({untold} guests lost since this was said last)",
            failure.error
        );
    }
}

impl BatchStrategy for PluginStrategy {
    fn consider<'a>(&'a self, request: &'a RequestProfile, begins: bool) -> Considering<'a, Verdict> {
        Box::pin(async move {
            match self.include(request, begins).await {
                Ok(true) => Verdict::Joins,
                Ok(false) => Verdict::Stays,
                Err(failure) => {
                    self.tell(&failure);
                    Verdict::Failed
                }
            }
        })
    }

    fn formed(&self) -> Considering<'_, ()> {
        Box::pin(async move {
            if let Err(failure) = self.finish().await {
                self.tell(&failure);
            }
        })
    }
}

impl fmt::Debug for PluginStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginStrategy({})", self.plugin.spec.subject())
    }
}

fn request_out(request: &RequestProfile) -> Request {
    Request {
        id: request.id.clone(),
        rows: request.rows,
        inputs: request.inputs.iter().map(input_out).collect(),
        parameters: convert::parameters_out(&request.parameters),
        priority: request.priority,
        correlation_id: request.sequence.as_ref().map(|id| match id {
            SequenceId::Number(number) => CorrelationId::Number(*number),
            SequenceId::Text(text) => CorrelationId::Text(text.clone()),
        }),
    }
}

fn input_out(input: &InputProfile) -> Input {
    Input {
        name: input.name.to_string(),
        dtype: convert::dtype(input.data_type),
        shape: input.shape.to_vec(),
        byte_size: input.bytes,
    }
}
