//! Which request runs when, where, and together with which others.
//!
//! The decisions are pure: a [`policy`] takes the time as an argument and neither spawns, sleeps, locks nor logs, so that a
//! seeded simulation drives the very code that serves. [`state`] is the policy of independent requests, [`sequence`] that
//! of requests that belong together. [`worker`] is the one file that acts.
//!
//! Invariant: every admitted request is answered once: executed, refused, expired, or found cancelled.
//!
//! Deliberately absent: clock reads and threads outside `worker.rs`, and knowledge of any backend.

mod batching;
mod brevity;
mod counsel;
mod forms;
mod host_policy;
mod job;
mod limiter;
mod observer;
mod policy;
mod queue;
mod roster;
mod sequence;
mod settings;
mod state;
mod worker;

pub use crate::{
    forms::RaggedInputs,
    host_policy::{CoreSet, HostPolicies, HostPolicy},
    limiter::{Demand, Resource, Scope, Supply},
    observer::{ExecutionRecord, FailureReason, Observer, Outcome, RequestRecord, StrategyEnd},
    sequence::{
        CorrelationInput, DirectSettings, ITERATIVE_STEPS_MAX, SequenceSettings, SequenceStrategy, SequenceTensors,
        Signal, SignalKind, StateInput,
    },
    settings::{
        BRIEF_EXECUTION_MAX, BatchingSettings, ExpiryAction, PrioritySettings, QUEUE_REQUESTS_MAX, QueuePolicy,
        QueueSettings, SchedulerSettings,
    },
    worker::{InstanceId, NewInstance, RateLimiter, Scheduler, cores_of, on_cores, run_here_or_spawn},
};

#[cfg(all(test, feature = "shuttle"))]
mod interleavings;
#[cfg(test)]
mod simulation;
