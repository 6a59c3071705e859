//! Guests that await, and behave badly or are left: what ends them, and that the next batch is served.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use nereid_inference::{ErrorKind, InferError, ServiceHandle, response_channel};
use nereid_plugin::{ModelGuest, Plugin, PluginLimits, PluginSpec};
use nereid_telemetry::{GuestEnd, ModelUsage};
use support::{
    ENGINE, Server,
    awaiter::{ask, encode_awaiting, execute, execute_for, row, serve_silent, signature, start, start_over, times},
    spec, values,
};
use tokio::time::{sleep, timeout};

/// Gets ready and is finalised as it should be, and executes a batch by saying this to the host.
fn executing(code: &str) -> Vec<u8> {
    encode_awaiting(&WITHOUT_CODE.replace("CODE", code))
}

const WITHOUT_CODE: &str = r#"(module
  (import "$root" "[waitable-set-new]" (func $set (result i32)))
  (import "[export]nereid:plugin-async/model@1.0.0" "[task-return]initialise" (func $ready (param i32 i32 i32 i32)))
  (import "[export]nereid:plugin-async/model@1.0.0" "[task-return]finalise" (func $finalised))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
  (func (export "[async-lift]nereid:plugin-async/model@1.0.0#initialise") (result i32)
    (call $ready (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0))
  (func (export "[async-lift]nereid:plugin-async/model@1.0.0#execute") (param i32 i32) (result i32) CODE)
  (func (export "[async-lift]nereid:plugin-async/model@1.0.0#finalise") (result i32) (call $finalised) (i32.const 0))
  (func (export "[callback][async-lift]nereid:plugin-async/model@1.0.0#initialise") (param i32 i32 i32) (result i32) unreachable)
  (func (export "[callback][async-lift]nereid:plugin-async/model@1.0.0#execute") (param i32 i32 i32) (result i32) unreachable)
  (func (export "[callback][async-lift]nereid:plugin-async/model@1.0.0#finalise") (param i32 i32 i32) (result i32) unreachable))"#;

/// A guest whose limits are changed, over this server.
fn limited(server: &(Arc<Server>, ServiceHandle), limits: PluginLimits) -> Option<ModelGuest> {
    start(|spec: &mut PluginSpec| {
        spec.service = server.1.clone();
        spec.limits = limits;
    })
}

/// The error of that, after which the plugin serves on.
async fn check_loss(guest: &mut ModelGuest, (mode, models): (&str, &str), expected: (ErrorKind, &str)) -> InferError {
    let error = ask(guest, mode, models, &[1.0]).await.unwrap_err();
    assert_eq!(error.kind(), expected.0, "{error}");
    assert!(error.message().contains(expected.1), "{error}");
    assert_eq!(values(&ask(guest, "", "", &[7.0]).await.unwrap()), [7.0]);
    error
}

#[tokio::test]
async fn a_panic_fails_its_batch_with_its_place() {
    let Some(mut guest) = start(|_| ()) else { return };
    let error = check_loss(&mut guest, ("panic", ""), (ErrorKind::Internal, "out of my depth")).await;
    assert!(error.message().contains("src/lib.rs:"), "{error}");
    for stream in execute(&mut guest, vec![row("", "", &[1.0]), row("panic", "", &[1.0])]).await {
        assert_eq!(stream.single().await.unwrap_err().kind(), ErrorKind::Internal);
    }
}

/// The SDK's runtime notices by itself.
#[tokio::test]
async fn awaiting_what_nothing_ends_is_a_panic_at_once() {
    let Some(mut guest) = start(|_| ()) else { return };
    let expected = (ErrorKind::Internal, "cannot sleep waiting only on Rust-originating events");
    timeout(PluginLimits::DEFAULT.wall_time_max / 2, check_loss(&mut guest, ("wait for nothing", ""), expected))
        .await
        .unwrap();
}

fn begin(component: &[u8]) -> ModelGuest {
    let compiled = ENGINE.compile("model.wasm", component).unwrap();
    let plugin = Plugin::new(&ENGINE, compiled, PluginSpec { signature: signature(), ..spec() });
    ModelGuest::start(plugin, "m_0_0").unwrap()
}

/// With debug assertions wasmtime panics over it, and nobody else notices.
#[tokio::test]
async fn ending_a_task_without_a_result_costs_the_guest_alone() {
    let mut guest = begin(&executing("(i32.const 0)"));
    let expected = match cfg!(debug_assertions) {
        true => "failed: the sandbox panicked: assertion failed: task.decremented_interesting_task_count",
        false => "trapped: it ended a function that awaits without a result",
    };
    for _ in 0..2 {
        let error = ask(&mut guest, "", "", &[1.0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(error.message(), format!("plugin 'model.wasm' of model 'm' {expected}"));
    }
}

/// Of a guest whose runtime does not, wasmtime does.
#[tokio::test]
async fn waiting_for_a_set_of_nothing_is_a_trap_at_once() {
    let mut guest = begin(&executing("(i32.or (i32.const 2) (i32.shl (call $set) (i32.const 4)))"));
    let lost = timeout(PluginLimits::DEFAULT.wall_time_max / 2, ask(&mut guest, "", "", &[1.0])).await.unwrap();
    let error = lost.unwrap_err();
    assert_eq!(error.message(), "plugin 'model.wasm' of model 'm' trapped: it awaits something that nothing will end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_spins_is_ended_and_lets_others_run() {
    let server = Server::start();
    let limits = PluginLimits { cpu_time_max: Duration::from_millis(100), ..PluginLimits::DEFAULT };
    let Some(mut guest) = limited(&server, limits) else { return };
    let neighbour = tokio::spawn(async { sleep(Duration::from_millis(1)).await });
    check_loss(&mut guest, ("spin", ""), (ErrorKind::DeadlineExceeded, "was ended after 100ms of computing (cpu_ms)"))
        .await;
    neighbour.await.unwrap();
}

#[tokio::test]
async fn computing_time_stands_still_while_a_guest_awaits_and_its_deadline_does_not() {
    let server = Server::start();
    server.0.serve("slow", |request, sender| {
        tokio::spawn(async move {
            sleep(Duration::from_millis(300)).await;
            sender.respond(Ok(times(2.0, &request)));
        });
    });
    let mut silent = serve_silent(&server.0, "silent");
    let wall = Duration::from_millis(900);
    let limits =
        PluginLimits { cpu_time_max: Duration::from_millis(150), wall_time_max: wall, ..PluginLimits::DEFAULT };
    let Some(mut guest) = limited(&server, limits) else { return };
    assert_eq!(values(&ask(&mut guest, "sum", "slow,slow", &[1.0]).await.unwrap()), [4.0]);
    let expected = (ErrorKind::DeadlineExceeded, "was ended at its deadline of 900ms (deadline_ms)");
    check_loss(&mut guest, ("sum", "silent,slow"), expected).await;
    silent.recv().await.unwrap().cancelled().await;
}

#[tokio::test]
async fn a_guest_whose_clients_left_is_ended_while_it_awaits_and_so_are_its_calls() {
    let server = Server::start();
    let mut silent = serve_silent(&server.0, "silent");
    let Some(mut guest) = start_over(&server) else { return };
    let request = signature().check(row("sum", "silent,silent", &[1.0])).unwrap();
    let (sender, stream) = response_channel();
    let leaving = async {
        let asked = [silent.recv().await.unwrap(), silent.recv().await.unwrap()];
        drop(stream);
        for sender in asked {
            sender.cancelled().await;
        }
    };
    tokio::join!(execute_for(&mut guest, vec![request], vec![sender]), leaving);
    assert_eq!(values(&ask(&mut guest, "", "", &[7.0]).await.unwrap()), [7.0]);
}

#[tokio::test]
async fn what_a_guest_leaves_behind_ends_with_it_and_its_answer_counts() {
    let server = Server::start();
    let mut silent = serve_silent(&server.0, "silent");
    let usage = Arc::new(ModelUsage::default());
    let counted = |spec: &mut PluginSpec| {
        spec.service = server.1.clone();
        spec.usage = usage.clone();
    };
    let Some(mut guest) = start(counted) else { return };
    assert_eq!(values(&ask(&mut guest, "leave calls behind", "silent", &[5.0]).await.unwrap()), [5.0]);
    let left = silent.recv().await.unwrap();
    timeout(PluginLimits::DEFAULT.wall_time_max / 2, left.cancelled()).await.unwrap();
    assert_eq!(usage.guests().retired(GuestEnd::Handles), 1);
    assert_eq!(values(&ask(&mut guest, "", "", &[7.0]).await.unwrap()), [7.0]);
}
