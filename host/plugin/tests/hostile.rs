//! Guests that trap, spin, allocate and lie: each costs its own request, and the next one is served.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::{Duration, Instant};

use nereid_inference::{ErrorKind, InferError};
use nereid_plugin::{PluginLimits, PluginSpec};
use support::*;

/// Runs the guest against a request whose first number is 1, and expects the error; then against one whose first number is 0, which
/// every guest here passes through, and expects it to be served.
async fn check(imports: &[&str], misdeed: &str, limits: PluginLimits, expected: (ErrorKind, &str)) -> InferError {
    check_with(imports, misdeed, "", limits, expected).await
}

async fn check_with(
    imports: &[&str],
    misdeed: &str,
    definitions: &str,
    limits: PluginLimits,
    expected: (ErrorKind, &str),
) -> InferError {
    // Reads the input's first number through `read` at address 3000: 16 bytes of result, then the list.
    let body = format!(
        r#"(call $read (i32.load offset=8 (local.get $inputs)) (i32.const 0) (i32.const 4) (i32.const 3000))
           (if (i32.load (i32.load offset=4 (i32.const 3000))) (then {misdeed}))
           {IDENTITY}"#
    );
    let imports: Vec<&str> = imports.iter().copied().chain([READ]).collect();
    let pool = pool(&component_with(&imports, &body, definitions), PluginSpec { limits, ..spec() });
    let neighbour = request(&[0.0, 7.0]);
    let (bad, good) = (request(&[1.0, 7.0]), request(&[0.0, 7.0]));
    let (failed, served) = tokio::join!(pool.run(&bad, || false), pool.run(&neighbour, || false));
    let error = failed.unwrap_err();
    assert_eq!(values(&served.unwrap()), [0.0, 7.0], "the neighbour's answer");
    assert_eq!(error.kind(), expected.0, "{error}");
    assert!(error.message().starts_with("plugin 'model.wasm' of model 'm' "), "{error}");
    assert!(error.message().contains(expected.1), "expected {:?} in {:?}", expected.1, error.message());
    assert_eq!(values(&pool.run(&good, || false).await.unwrap()), [0.0, 7.0], "the next answer");
    error
}

#[tokio::test]
async fn a_panic_names_the_functions_it_happened_in() {
    let definitions = r#"(func $decode (call $inner)) (func $inner unreachable)"#;
    let expected = (ErrorKind::Internal, "; in inner < decode < run");
    check_with(&[], "(call $decode)", definitions, PluginLimits::DEFAULT, expected).await;
}

#[tokio::test]
async fn the_last_error_line_explains_a_trap() {
    let definitions = r#"(data (i32.const 200) "lost at src/lib.rs:3")"#;
    let misdeed = "(call $log (i32.const 4) (i32.const 200) (i32.const 20)) unreachable";
    let expected = (ErrorKind::Internal, "the last error it logged: lost at src/lib.rs:3");
    check_with(&[LOG], misdeed, definitions, PluginLimits::DEFAULT, expected).await;
}

#[tokio::test]
async fn memory_out_of_bounds_is_a_trap_of_that_request() {
    let misdeed = "(i32.store (i32.const 0x7fffffff) (i32.const 1))";
    check(&[], misdeed, PluginLimits::DEFAULT, (ErrorKind::Internal, "outside its memory")).await;
}

#[tokio::test]
async fn an_endless_recursion_is_a_trap_of_that_request() {
    let expected = (ErrorKind::Internal, "call stack is exhausted");
    check_with(&[], "(call $deeper)", "(func $deeper (call $deeper))", PluginLimits::DEFAULT, expected).await;
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline() {
    let limits = PluginLimits { wall_time_max: Duration::from_millis(400), ..PluginLimits::DEFAULT };
    let started = Instant::now();
    check(&[], "(loop (br 0))", limits, (ErrorKind::DeadlineExceeded, "deadline of 400ms (deadline_ms)")).await;
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
}

#[tokio::test]
async fn an_endless_loop_ends_when_its_computing_time_is_spent() {
    let limits = PluginLimits { cpu_time_max: Duration::from_millis(300), ..PluginLimits::DEFAULT };
    check(&[], "(loop (br 0))", limits, (ErrorKind::DeadlineExceeded, "after 300ms of computing (cpu_ms)")).await;
}

#[tokio::test]
async fn a_spinning_guest_lets_others_use_the_only_worker() {
    let limits = PluginLimits { wall_time_max: Duration::from_millis(500), ..PluginLimits::DEFAULT };
    let pool = pool(&component(&[], "(loop (br 0)) unreachable"), PluginSpec { limits, ..spec() });
    let request = request(&[1.0]);
    let spinning = pool.run(&request, || false);
    let mut turns = 0;
    let counting = async {
        loop {
            tokio::task::yield_now().await;
            turns += 1;
        }
    };
    tokio::select! { result = spinning => assert!(result.is_err()), () = counting => unreachable!() }
    assert!(turns > 5, "{turns} turns beside a spinning guest");
}

#[tokio::test]
async fn a_guest_whose_client_left_is_ended() {
    let pool = pool(&component(&[], "(loop (br 0)) unreachable"), spec());
    let error = pool.run(&request(&[1.0]), || true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
}

#[tokio::test]
async fn memory_beyond_the_limit_is_refused_with_both_numbers() {
    let misdeed = "(if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))";
    let expected = (ErrorKind::ResourceExhausted, "4063 MiB of memory exceed the limit of 256 MiB (memory_mib)");
    check(&[], misdeed, PluginLimits::DEFAULT, expected).await;
}

/// Creates a tensor of type `dtype` and shape `[length]` and returns it as `X`.
fn returns(dtype: u32, length: u64) -> String {
    format!(
        "(i64.store (i32.const 3104) (i64.const {length}))
         (call $create (i32.const {dtype}) (i32.const 3104) (i32.const 1) (i32.const 3200))
         (if (i32.load8_u (i32.const 3200)) (then unreachable))
         (return (call $ok_x (i32.load offset=4 (i32.const 3200))))"
    )
}

#[tokio::test]
async fn a_gigabyte_of_tensors_is_refused() {
    let expected = (ErrorKind::ResourceExhausted, "exceed the limit of 536870912 bytes per call (host_tensor_mib)");
    check(&[CREATE], &returns(1, 1 << 30), PluginLimits::DEFAULT, expected).await;
}

#[tokio::test]
async fn a_gigabyte_of_outputs_is_refused() {
    let limits = PluginLimits { host_tensor_bytes_max: 2 << 30, ..PluginLimits::DEFAULT };
    let expected = (ErrorKind::ResourceExhausted, "returned 1073741824 bytes of outputs, the limit is 268435456");
    check(&[CREATE], &returns(1, 1 << 30), limits, expected).await;
}

#[tokio::test]
async fn a_wrong_type_is_named_with_both_sides() {
    let expected = (ErrorKind::Internal, "returned output 'X' of type UINT8, expected FP32");
    check(&[CREATE], &returns(1, 4), PluginLimits::DEFAULT, expected).await;
}

#[tokio::test]
async fn a_missing_output_is_named() {
    let expected = (ErrorKind::Internal, "did not return output 'X'; it returned []");
    check(&[], "(return (call $ok (i32.const 0) (i32.const 0)))", PluginLimits::DEFAULT, expected).await;
}

#[tokio::test]
async fn host_calls_are_counted() {
    let limits = PluginLimits { host_calls_max: 100, ..PluginLimits::DEFAULT };
    let misdeed = "(loop (drop (call $byte_size (i32.load offset=8 (local.get $inputs)))) (br 0))";
    check(&[BYTE_SIZE], misdeed, limits, (ErrorKind::ResourceExhausted, "after 100 calls to the host")).await;
}

#[tokio::test]
async fn handles_are_counted() {
    let limits = PluginLimits { handles_max: 50, ..PluginLimits::DEFAULT };
    let misdeed = "(loop (drop (call $share (i32.load offset=8 (local.get $inputs)))) (br 0))";
    check(&[SHARE], misdeed, limits, (ErrorKind::ResourceExhausted, "the limit (handles)")).await;
}

#[tokio::test]
async fn a_list_beyond_the_memory_is_a_trap_and_not_a_crash() {
    // Claims outputs at the end of the address space.
    let misdeed = "(return (call $ok (i32.const 0x7ffffff0) (i32.const 0x10000000)))";
    check(&[], misdeed, PluginLimits::DEFAULT, (ErrorKind::Internal, "failed: ")).await;
}

#[tokio::test]
async fn a_handle_that_was_never_given_is_a_trap_and_not_a_crash() {
    check(&[], "(return (call $ok_x (i32.const 77)))", PluginLimits::DEFAULT, (ErrorKind::Internal, "failed: ")).await;
}
