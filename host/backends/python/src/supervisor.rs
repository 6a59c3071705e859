//! Keeps one instance's process alive: starts it, waits for its end, starts it again after a pause.
//!
//! One thread per instance does it, which is the process's parent for as long as there is one; when the server dies, that
//! thread and with it the process does. Everybody else asks what there is now.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nereid_inference::InferError;
use parking_lot::{Condvar, Mutex};

use crate::{
    backoff::Backoff,
    runner::{Plan, Runner},
};

/// The keeper of one instance. Dropping it has the model finish and waits for that.
#[derive(Debug)]
pub(crate) struct Supervisor {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

/// How an instance is.
#[derive(Debug)]
pub(crate) struct Watch {
    instance: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Starting,
    Running(Arc<Runner>),
    /// It ended, and is started again later.
    Pausing {
        until: Instant,
        why: InferError,
    },
    /// It is not wanted any more.
    Closing,
    /// It never started.
    Failed(InferError),
}

// === impl Supervisor ===

impl Supervisor {
    /// Starts an instance and waits until it is there.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(plan: Plan) -> Result<Self, InferError> {
        let watch = Arc::new(Watch {
            instance: plan.instance.name.clone(),
            state: Mutex::new(State::Starting),
            changed: Condvar::new(),
        });
        let kept = watch.clone();
        let spawned = thread::Builder::new().name("nereid-py-keeper".to_owned()).spawn(move || kept.keep(&plan));
        let thread = spawned.map_err(|error| InferError::internal(format!("cannot start a thread: {error}")))?;
        let supervisor = Self { watch, thread: Some(thread) };
        let mut state = supervisor.watch.state.lock();
        loop {
            match &*state {
                State::Starting => supervisor.watch.changed.wait(&mut state),
                State::Failed(error) => {
                    let error = error.clone();
                    drop(state);
                    return Err(error);
                }
                _ => break,
            }
        }
        drop(state);
        Ok(supervisor)
    }

    /// How the instance is, for those who do not own it.
    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.watch.state.lock(), State::Closing);
        self.watch.changed.notify_all();
        if let State::Running(runner) = before {
            runner.finish();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Watch ===

impl Watch {
    /// The process, also when it has to be waited for because it is being started.
    ///
    /// # Errors
    /// `Unavailable` while it is not there.
    pub(crate) fn runner(&self, patience: Duration) -> Result<Arc<Runner>, InferError> {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Running(runner) if !runner.is_over() => return Ok(runner.clone()),
                State::Pausing { until, why } if *until > Instant::now() => return Err(self.paused(*until, why)),
                State::Running(_) | State::Pausing { .. } | State::Starting => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return Err(self.away("is being started"));
                    }
                }
                State::Closing => return Err(self.away("is being unloaded")),
                State::Failed(error) => return Err(error.clone()),
            }
        }
    }

    /// Whether it can serve now.
    pub(crate) fn readiness(&self) -> Result<(), InferError> {
        let state = self.state.lock();
        let runner = match &*state {
            State::Running(runner) if !runner.is_over() => runner.clone(),
            State::Pausing { until, why } => return Err(self.paused(*until, why)),
            _ => return Err(self.away("is being started")),
        };
        drop(state);
        runner.readiness()
    }

    fn away(&self, what: &str) -> InferError {
        InferError::unavailable(format!("instance '{}' {what}", self.instance))
    }

    fn paused(&self, until: Instant, why: &InferError) -> InferError {
        let left = until.saturating_duration_since(Instant::now());
        let text = format!("instance '{}' is started again in {} ms: {why}", self.instance, left.as_millis());
        InferError::unavailable(text).retry_after(left)
    }

    /// The thread's work.
    fn keep(&self, plan: &Plan) {
        let mut backoff = Backoff::default();
        let mut has_run = false;
        loop {
            let started = Instant::now();
            let why = match Runner::start(plan) {
                Ok((runner, mut child)) => {
                    has_run = true;
                    if !self.enter(State::Running(runner.clone())) {
                        runner.finish();
                    }
                    runner.attend(&mut child)
                }
                Err(error) if !has_run => {
                    self.enter(State::Failed(error));
                    return;
                }
                Err(error) => error,
            };
            let until = backoff.ended(started, Instant::now());
            if !self.enter(State::Pausing { until, why: why.clone() }) {
                return;
            }
            tracing::error!("{why}; it is started again");
            if !self.pause(until) || !self.enter(State::Starting) {
                return;
            }
        }
    }

    /// Changes the state, unless the instance is not wanted any more; returns whether it is.
    fn enter(&self, next: State) -> bool {
        let mut state = self.state.lock();
        if matches!(*state, State::Closing) {
            return false;
        }
        *state = next;
        self.changed.notify_all();
        true
    }

    /// Waits; returns whether the instance is still wanted.
    fn pause(&self, until: Instant) -> bool {
        let mut state = self.state.lock();
        while !matches!(*state, State::Closing) {
            if self.changed.wait_until(&mut state, until).timed_out() {
                return !matches!(*state, State::Closing);
            }
        }
        false
    }
}
