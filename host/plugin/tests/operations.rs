//! Operations of the host at the sandbox's border: handles, memory, time, threads. What they compute is tested in their
//! own crate, and each of them once through a plugin in `tests/clients/test_operations.py`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use nereid_inference::ErrorKind;
use nereid_plugin::{PluginLimits, PluginSpec, SandboxPool};
use support::*;

/// A guest that makes a tensor of its input with one operation; an error of it ends in a trap.
fn guest(import: &str, call: &str) -> Vec<u8> {
    let body = format!(
        "(local $x i32)
         (local.set $x (i32.load offset=8 (local.get $inputs)))
         {call}
         (if (i32.load8_u (i32.const 512)) (then unreachable))
         (call $ok_x (i32.load (i32.const 516)))"
    );
    component(&[import], &body)
}

const SOFTMAX: &str = r#"(import "nereid:plugin/operations@1.0.0" "softmax" (func $softmax (param i32 i32 i32)))"#;
const CONCAT: &str = r#"(import "nereid:plugin/operations@1.0.0" "concat" (func $concat (param i32 i32 i32 i32)))"#;
const PAD: &str = r#"(import "nereid:plugin/operations@1.0.0" "pad" (func $pad (param i32 i32 i32 i32 i32 f64 i32)))"#;

/// The probabilities along the only axis.
fn softmax() -> Vec<u8> {
    guest(SOFTMAX, "(call $softmax (local.get $x) (i32.const 0) (i32.const 512))")
}

/// The input with `count` ones behind.
fn padding(count: u32) -> Vec<u8> {
    let lists = format!("(i32.store (i32.const 400) (i32.const 0)) (i32.store (i32.const 404) (i32.const {count}))");
    let call = "(call $pad (local.get $x) (i32.const 400) (i32.const 1) (i32.const 404) (i32.const 1) (f64.const 1)
                 (i32.const 512))";
    guest(PAD, &format!("{lists} {call}"))
}

async fn run(pool: &SandboxPool, count: usize) -> Result<Vec<f32>, (ErrorKind, String)> {
    let answer = pool.run(&request(&vec![1.0; count]), || false).await;
    answer.map(|response| values(&response)).map_err(|error| (error.kind(), error.message().to_owned()))
}

/// Few elements are done where the guest runs, many on another thread: 400 KB, four times over.
#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_the_same_wherever_it_is_made() {
    let pool = pool(&softmax(), spec());
    for count in [4, 100_000] {
        let found = run(&pool, count).await.unwrap();
        assert_eq!(found, vec![1.0 / count as f32; count]);
    }
}

/// A guest may name one tensor twice, and hand on what it made.
#[tokio::test]
async fn one_tensor_may_be_an_operand_twice() {
    let lists = "(i32.store (i32.const 400) (local.get $x)) (i32.store (i32.const 404) (local.get $x))";
    let call = "(call $concat (i32.const 400) (i32.const 2) (i32.const 0) (i32.const 512))";
    let pool = pool(&guest(CONCAT, &format!("{lists} {call}")), spec());
    assert_eq!(run(&pool, 2).await.unwrap(), [1.0; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_beyond_the_calls_memory_is_refused_before_it_is_allocated() {
    let limits = PluginLimits { host_tensor_bytes_max: 1000, ..PluginLimits::DEFAULT };
    for count in [1000, u32::MAX] {
        let pool = pool(&padding(count), PluginSpec { limits: limits.clone(), ..spec() });
        let (kind, text) = run(&pool, 2).await.unwrap_err();
        assert_eq!(kind, ErrorKind::ResourceExhausted, "{text}");
        assert!(text.contains("pad: it needs") && text.contains("1000 are left"), "{text}");
    }
    let pool = pool(&padding(100), PluginSpec { limits, ..spec() });
    for _ in 0..20 {
        // Memory is given back with the answer, so that the next call finds all of it.
        assert_eq!(run(&pool, 2).await.unwrap().len(), 102);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_on_other_threads_is_the_guests_own() {
    let limits = PluginLimits { cpu_time_max: Duration::from_millis(1), ..PluginLimits::DEFAULT };
    let pool = pool(&padding(25_000_000), PluginSpec { limits, ..spec() });
    let (kind, text) = run(&pool, 20_000).await.unwrap_err();
    assert_eq!(kind, ErrorKind::DeadlineExceeded, "{text}");
    assert!(text.contains("of computing (cpu_ms)"), "{text}");
}

/// More guests than there are threads for operations: all get their turn.
#[tokio::test(flavor = "multi_thread")]
async fn operations_take_turns() {
    let pool = std::sync::Arc::new(pool(&softmax(), spec()));
    let calls = (0..24).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { run(&pool, 50_000).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap().len(), 50_000);
    }
}

#[tokio::test]
async fn a_handle_of_an_earlier_call_is_no_operand() {
    let body = "(local $kept i32)
         (local.set $kept (global.get $first))
         (if (i32.eqz (local.get $kept)) (then
           (global.set $first (i32.load offset=8 (local.get $inputs)))
           (return (call $ok (local.get $inputs) (i32.const 0)))))
         (call $softmax (local.get $kept) (i32.const 0) (i32.const 512))
         (call $ok_x (i32.load (i32.const 516)))";
    let bytes = component_with(&[SOFTMAX], body, "(global $first (mut i32) (i32.const 0))");
    let pool = pool(&bytes, spec());
    // The first call keeps its input and forgets to answer.
    assert!(run(&pool, 2).await.is_err());
    let (_, text) = run(&pool, 2).await.unwrap_err();
    assert!(text.contains("kept from an earlier call"), "{text}");
}
