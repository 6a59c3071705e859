//! How guests live: let rest when they fail in a row, dropped when they are idle, and counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use nereid_inference::{ErrorKind, InferError, InferResponse};
use nereid_plugin::{BreakerSettings, IdleSettings, LifeSettings, Plugin, PluginLimits, PluginSpec, SandboxPool};
use nereid_telemetry::{GuestEnd, ModelUsage};
use support::*;

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

/// Misbehaves when the request's first number says so: 1 traps, 2 spins, 3 allocates, 4 answers no output;
/// everything else is answered.
const MOODY: &str = r#"
  (local $mood f32)
  (call $read (i32.load offset=8 (local.get $inputs)) (i32.const 0) (i32.const 4) (i32.const 3000))
  (local.set $mood (f32.load (i32.load offset=4 (i32.const 3000))))
  (if (f32.eq (local.get $mood) (f32.const 1)) (then unreachable))
  (if (f32.eq (local.get $mood) (f32.const 2)) (then (loop (br 0))))
  (if (f32.eq (local.get $mood) (f32.const 3))
    (then (if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))))
  (if (f32.eq (local.get $mood) (f32.const 4)) (then (return (call $ok (i32.const 0) (i32.const 0)))))
"#;

const WELL: f32 = 0.0;
const TRAPS: f32 = 1.0;
const SPINS: f32 = 2.0;
const ALLOCATES: f32 = 3.0;
const ANSWERS_NOTHING: f32 = 4.0;

struct Life {
    pool: SandboxPool,
    plugin: Arc<Plugin>,
    usage: Arc<ModelUsage>,
}

fn breaker(failures: u32, backoff: Duration) -> LifeSettings {
    LifeSettings { breaker: BreakerSettings { failures, backoff, backoff_max: HOUR }, ..LifeSettings::default() }
}

fn live(life: LifeSettings) -> Life {
    let limits = PluginLimits { cpu_time_max: Duration::from_millis(30), ..PluginLimits::DEFAULT };
    let spec = PluginSpec { limits, life, ..spec() };
    let usage = spec.usage.clone();
    let plugin = Plugin::new(&ENGINE, compile(&component(&[READ], &format!("{MOODY} {IDENTITY}"))), spec);
    Life { pool: SandboxPool::start(plugin.clone(), "m_0_0").unwrap(), plugin, usage }
}

impl Life {
    async fn call(&self, mood: f32) -> Result<InferResponse, InferError> {
        self.pool.run(&request(&[mood]), || false).await
    }

    async fn kind(&self, mood: f32) -> Option<ErrorKind> {
        self.call(mood).await.err().map(|error| error.kind())
    }
}

/// Asks until it is so; the test fails when that takes a minute.
async fn until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(60), "it never came to be");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn guests_that_fail_in_a_row_are_let_rest() {
    for (mood, kind) in
        [(TRAPS, ErrorKind::Internal), (SPINS, ErrorKind::DeadlineExceeded), (ALLOCATES, ErrorKind::ResourceExhausted)]
    {
        let life = live(breaker(3, HOUR));
        for _ in 0..3 {
            assert!(life.plugin.readiness().is_ok());
            assert_eq!(life.kind(mood).await, Some(kind));
        }
        let refusal = life.call(WELL).await.unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Unavailable, "{refusal}");
        let expected = "plugin 'model.wasm' of model 'm' refuses requests for a while, because 3 guests failed in a row; try again in 3";
        assert!(refusal.message().starts_with(expected), "{refusal}");
        let unready = life.plugin.readiness().unwrap_err();
        assert_eq!(unready.kind(), ErrorKind::Unavailable);
        assert!(unready.message().contains("3 guests failed in a row; the last one: plugin"), "{unready}");
    }
}

#[tokio::test]
async fn a_plugin_that_answers_errors_is_not_let_rest() {
    let life = live(breaker(3, HOUR));
    for _ in 0..20 {
        assert_eq!(life.kind(ANSWERS_NOTHING).await, Some(ErrorKind::Internal));
    }
    assert_eq!(life.kind(WELL).await, None);
    assert_eq!(life.usage.guests().retired(GuestEnd::Trap), 0);
}

#[tokio::test]
async fn failures_with_answers_between_are_not_in_a_row() {
    let life = live(breaker(3, HOUR));
    for _ in 0..10 {
        for (mood, kind) in [(TRAPS, Some(ErrorKind::Internal)), (TRAPS, Some(ErrorKind::Internal)), (WELL, None)] {
            assert_eq!(life.kind(mood).await, kind);
        }
    }
}

#[tokio::test]
async fn clients_that_leave_do_not_let_it_rest() {
    let life = live(breaker(3, HOUR));
    for _ in 0..10 {
        let error = life.pool.run(&request(&[SPINS]), || true).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::DeadlineExceeded), "{error}");
        if error.kind() == ErrorKind::DeadlineExceeded {
            return; // The processor time was over before the grace of a client that left.
        }
    }
    assert_eq!(life.kind(WELL).await, None);
}

#[tokio::test]
async fn a_trial_that_is_answered_ends_the_rest() {
    let life = live(breaker(2, Duration::from_millis(1)));
    for _ in 0..2 {
        assert_eq!(life.kind(TRAPS).await, Some(ErrorKind::Internal));
    }
    until(async || life.kind(WELL).await.is_none()).await;
    assert!(life.plugin.readiness().is_ok());
    // The count begins anew.
    assert_eq!(life.kind(TRAPS).await, Some(ErrorKind::Internal));
    assert_eq!(life.kind(WELL).await, None);
}

#[tokio::test]
async fn a_trial_that_fails_doubles_the_rest() {
    let mut settings = breaker(1, Duration::from_millis(1));
    settings.breaker.backoff_max = HOUR;
    let life = live(settings);
    // 1 + 2 + 4 + … milliseconds: a quarter of a second later it was tried eight times or so, and not two hundred and fifty times.
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(250) {
        life.kind(TRAPS).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let entered = life.usage.guests().retired(GuestEnd::Trap);
    assert!((2..=9).contains(&entered), "{entered} guests were entered");
}

/// Hands its inputs to model `gate` and answers what that answers.
fn caller_of_gate() -> Vec<u8> {
    let record = call_record(3000, (300, 4), OWN_INPUTS);
    let body = format!("{record} (call $infer (i32.const 3000) (i32.const 1024)) (i32.const 1024)");
    component_with(&[INFER], &body, r#"(data (i32.const 300) "gate")"#)
}

#[tokio::test]
async fn idle_guests_are_dropped_but_for_those_that_are_kept() {
    let (server, service) = Server::start();
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let keep = waiting.clone();
    // Answers nobody until all eight are there.
    server.serve("gate", move |request, sender| {
        let mut waiting = keep.lock().unwrap();
        waiting.push((request, sender));
        if waiting.len() == 8 {
            for (request, sender) in waiting.drain(..) {
                sender.respond(Ok(InferResponse::new(request.inputs)));
            }
        }
    });
    let idle = IdleSettings { time: Duration::from_millis(1), guests_min: 2 };
    let spec = PluginSpec { service, life: LifeSettings { idle, ..LifeSettings::default() }, ..spec() };
    let usage = spec.usage.clone();
    let pool = pool(&caller_of_gate(), spec);
    let requests: Vec<_> = (0..8).map(|number| request(&[number as f32])).collect();
    for answer in join_all(requests.iter().map(|request| pool.run(request, || false))).await {
        answer.unwrap();
    }
    let figures = usage.guests();
    until(async || figures.living() == 2).await;
    assert_eq!((figures.idle(), figures.retired(GuestEnd::Idle)), (2, 6));
}

#[tokio::test]
async fn guests_are_counted_by_what_became_of_them() {
    let limits = PluginLimits { invocations_max: 3, ..PluginLimits::DEFAULT };
    let spec = PluginSpec { limits, ..spec() };
    let usage = spec.usage.clone();
    let plugin = Plugin::new(&ENGINE, compile(&component(&[READ], &format!("{MOODY} {IDENTITY}"))), spec);
    let life = Life { pool: SandboxPool::start(plugin.clone(), "m_0_0").unwrap(), plugin, usage: usage.clone() };
    let figures = usage.guests();
    assert_eq!((figures.living(), figures.idle()), (1, 1));
    for _ in 0..3 {
        life.call(WELL).await.unwrap();
    }
    assert_eq!((figures.living(), figures.retired(GuestEnd::Invocations)), (0, 1));
    life.call(TRAPS).await.unwrap_err();
    life.call(ALLOCATES).await.unwrap_err();
    assert_eq!((figures.retired(GuestEnd::Trap), figures.retired(GuestEnd::Limit)), (1, 1));
    life.call(WELL).await.unwrap();
    assert_eq!((figures.living(), figures.idle(), figures.retired(GuestEnd::Swap)), (1, 1, 0));
    drop(life);
    assert_eq!((figures.living(), figures.idle(), figures.retired(GuestEnd::Swap)), (0, 0, 1));
}
