//! Guests that ask the system: they are told of what they were granted, wait no longer than they may, and are not believed to be
//! alone in the log.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use nereid_inference::{ErrorKind, InferError};
use nereid_plugin::{Clocks, FolderGrant, Grants, PluginLimits, PluginSpec};
use support::*;

const FD_WRITE: &str =
    r#"(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))"#;
const PATH_OPEN: &str = r#"(import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;
const PRESTAT: &str =
    r#"(import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))"#;
const ENVIRON: &str =
    r#"(import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))"#;
const RANDOM: &str = r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#;
const CLOCK: &str =
    r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#;
const POLL: &str =
    r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
const EXIT: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
const CREATE_SOCKET: &str =
    r#"(import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $create_socket (param i32 i32)))"#;

/// As much of `wasi:sockets` as a guest needs that wants a socket.
const SOCKETS_WIT: &str = "package test:guest;
    world guest { include nereid:plugin/transform-plugin@VERSION; import wasi:sockets/tcp-create-socket@0.2.0; }
    package wasi:sockets@0.2.0 {
        interface network {
            enum error-code {
                unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict,
                not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use,
                remote-unreachable, connection-refused, connection-reset, connection-aborted, datagram-too-large,
                name-unresolvable, temporary-resolver-failure, permanent-resolver-failure
            }
            enum ip-address-family { ipv4, ipv6 }
        }
        interface tcp { resource tcp-socket; }
        interface tcp-create-socket {
            use network.{error-code, ip-address-family};
            use tcp.{tcp-socket};
            create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
        }
    }";

/// Writes the number on the stack's top into the first element of the input, and answers it.
const ANSWER: &str = "(call $write (i32.load offset=8 (local.get $inputs)) (i32.const 0) (i32.const 400) (i32.const 4)
       (i32.const 500))";

/// Answers with `number`, an expression of the guest.
fn answering(imports: &[&str], number: &str, definitions: &str) -> String {
    let imports: Vec<&str> = imports.iter().copied().chain([WRITE]).collect();
    let body = format!("(f32.store (i32.const 400) (f32.convert_i32_u {number})) {ANSWER} {IDENTITY}");
    core(&imports, &body, definitions)
}

async fn answer(component: &[u8]) -> f32 {
    let pool = pool(component, spec());
    values(&pool.run(&request(&[-1.0]), || false).await.unwrap())[0]
}

async fn failure(component: &[u8], limits: PluginLimits) -> InferError {
    let pool = pool(component, PluginSpec { limits, ..spec() });
    pool.run(&request(&[1.0]), || false).await.unwrap_err()
}

/// The number that `wasi_snapshot_preview1` gives to "bad file descriptor": there is no folder to start from.
const BAD_DESCRIPTOR: f32 = 8.0;

#[tokio::test]
async fn there_is_no_folder_and_no_file_can_be_opened() {
    assert_eq!(
        answer(&encode(&answering(&[PRESTAT], "(call $prestat (i32.const 3) (i32.const 600))", ""))).await,
        BAD_DESCRIPTOR
    );
    let open = "(call $path_open (i32.const 3) (i32.const 0) (i32.const 200) (i32.const 10) (i32.const 0) (i64.const 2)
         (i64.const 2) (i32.const 0) (i32.const 600))";
    let opened = answering(&[PATH_OPEN], open, r#"(data (i32.const 200) "etc/passwd")"#);
    assert_eq!(answer(&encode(&opened)).await, BAD_DESCRIPTOR);
}

#[tokio::test]
async fn a_socket_is_refused_before_it_is_made() {
    // The result is at 600: 1 for an error, and its number, of which 1 is `access-denied`.
    let number = "(block (result i32) (call $create_socket (i32.const 0) (i32.const 600))
         (i32.add (i32.mul (i32.const 100) (i32.load8_u (i32.const 600))) (i32.load8_u offset=4 (i32.const 600))))";
    let version = nereid_plugin::CONTRACT_VERSION;
    let wit = SOCKETS_WIT.replace("VERSION", version);
    let component = encode_for(&answering(&[CREATE_SOCKET], number, ""), "guest", Some(&wit));
    assert_eq!(answer(&component).await, 101.0);
}

#[tokio::test]
async fn the_environment_is_empty() {
    let number =
        "(block (result i32) (drop (call $environ (i32.const 600) (i32.const 604))) (i32.load (i32.const 600)))";
    assert_eq!(answer(&encode(&answering(&[ENVIRON], number, ""))).await, 0.0);
}

/// The number that a guest with these grants answers.
async fn granted(component: &[u8], grants: Grants) -> f32 {
    let pool = pool(component, PluginSpec { grants, ..spec() });
    values(&pool.run(&request(&[0.0]), || false).await.unwrap())[0]
}

#[tokio::test]
async fn variables_are_those_that_were_granted() {
    let number =
        "(block (result i32) (drop (call $environ (i32.const 600) (i32.const 604))) (i32.load (i32.const 600)))";
    let environment = [("REGION", "eu"), ("TZ", "UTC")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let grants = Grants { environment: environment.into(), ..Grants::default() };
    assert_eq!(granted(&encode(&answering(&[ENVIRON], number, "")), grants).await, 2.0);
}

#[tokio::test]
async fn folders_are_those_that_were_granted() {
    let folder = tempfile::tempdir().unwrap();
    // 0 for a folder that is there, 8 for a bad descriptor; the first folder has the number 3.
    let number = "(call $prestat (i32.const 3) (i32.const 600))";
    let component = encode(&answering(&[PRESTAT], number, ""));
    let grant = FolderGrant::open("/data".to_owned(), folder.path().to_owned(), false).unwrap();
    assert_eq!(granted(&component, Grants { folders: vec![grant], ..Grants::default() }).await, 0.0);
    assert_eq!(granted(&component, Grants::default()).await, 8.0);
}

#[tokio::test]
async fn a_folder_for_reading_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    // Creates "f" in the first folder: O_CREAT, with the right to write.
    let number =
        "(call $path_open (i32.const 3) (i32.const 0) (i32.const 300) (i32.const 1) (i32.const 1) (i64.const 64)
         (i64.const 64) (i32.const 0) (i32.const 600))";
    let component = encode(&answering(&[PATH_OPEN], number, r#"(data (i32.const 300) "f")"#));
    for (is_writable, exists) in [(false, false), (true, true)] {
        let grant = FolderGrant::open("/data".to_owned(), folder.path().to_owned(), is_writable).unwrap();
        let errno = granted(&component, Grants { folders: vec![grant], ..Grants::default() }).await;
        assert_eq!((errno == 0.0, folder.path().join("f").exists()), (exists, exists), "errno {errno}");
    }
}

/// Nanoseconds that pass on the monotonic clock while the guest counts to ten million.
const MEASURED: &str = "(func $measured (result i32) (local $i i32)
     (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 600)))
     (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000000))))
     (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 608)))
     (i32.wrap_i64 (i64.sub (i64.load (i32.const 608)) (i64.load (i32.const 600)))))";

#[tokio::test]
async fn clocks_stand_still_while_a_guest_computes_unless_they_are_granted() {
    let component = encode(&answering(&[CLOCK], "(call $measured)", MEASURED));
    assert_eq!(granted(&component, Grants::default()).await, 0.0);
    assert!(granted(&component, Grants { clocks: Clocks::Running, ..Grants::default() }).await > 0.0);
}

#[tokio::test]
async fn a_clock_that_stands_still_shows_when_the_call_began() {
    let now = "(block (result i32) (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 600)))
         (i32.wrap_i64 (i64.div_u (i64.load (i32.const 600)) (i64.const 1000000000))))";
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f32();
    let told = answer(&encode(&answering(&[CLOCK], now, ""))).await;
    assert!((told - seconds).abs() < 1000.0, "{told} instead of {seconds}");
}

#[tokio::test]
async fn random_numbers_differ_unless_they_begin_with_a_seed() {
    let number = "(block (result i32) (drop (call $random (i32.const 600) (i32.const 16))) (i32.load (i32.const 600)))";
    let component = encode(&answering(&[RANDOM], number, ""));
    assert_ne!(answer(&component).await, answer(&component).await);
    let seeded = |seed| granted(&component, Grants { random_seed: Some(seed), ..Grants::default() });
    assert_eq!(seeded(7).await, seeded(7).await);
    assert_ne!(seeded(7).await, seeded(8).await);
}

/// Writes the text at 300 to standard error.
fn says(text: &str) -> String {
    let length = text.len();
    format!(
        "(i32.store (i32.const 700) (i32.const 300)) (i32.store (i32.const 704) (i32.const {length}))
         (drop (call $fd_write (i32.const 2) (i32.const 700) (i32.const 1) (i32.const 708)))"
    )
}

fn text_at_300(text: &str) -> String {
    format!(r#"(data (i32.const 300) "{}")"#, text.replace('\n', "\\n"))
}

#[tokio::test]
async fn what_stderr_said_last_explains_a_trap() {
    let text = "first\nFile a, line 3\nValueError: no";
    let guest = core(&[FD_WRITE], &format!("{} unreachable", says(text)), &text_at_300(text));
    let error = failure(&encode(&guest), PluginLimits::DEFAULT).await;
    assert_eq!(error.kind(), ErrorKind::Internal);
    let expected = "; its last lines on stderr: first | File a, line 3 | ValueError: no";
    assert!(error.message().contains(expected), "{error}");
}

#[tokio::test]
async fn a_flood_of_lines_is_served_and_leaves_nothing_behind() {
    let text = "x".repeat(80) + "\n";
    let flood = format!(
        "(local $i i32) (loop {} (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20000))))",
        says(&text)
    );
    let guest = core(&[FD_WRITE], &format!("{flood} {IDENTITY}"), &text_at_300(&text));
    let pool = pool(&encode(&guest), spec());
    for _ in 0..2 {
        assert_eq!(values(&pool.run(&request(&[3.0]), || false).await.unwrap()), [3.0]);
    }
}

#[tokio::test]
async fn a_flood_without_an_end_is_stopped_with_a_text_of_bounded_length() {
    let text = "x".repeat(80);
    let guest = core(&[FD_WRITE], &format!("(loop {} (br 0)) unreachable", says(&text)), &text_at_300(&text));
    let limits = PluginLimits { cpu_time_max: Duration::from_millis(200), ..PluginLimits::DEFAULT };
    let error = failure(&encode(&guest), limits).await;
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(error.message().len() < 32 << 10, "{} bytes of text", error.message().len());
}

/// Waits for an hour, on the monotonic clock.
const SLEEP: &str = "(i64.store (i32.const 800) (i64.const 0)) (i64.store (i32.const 808) (i64.const 0))
     (i32.store (i32.const 816) (i32.const 1)) (i64.store (i32.const 824) (i64.const 3600000000000))
     (i64.store (i32.const 832) (i64.const 1)) (i64.store (i32.const 840) (i64.const 0))
     (drop (call $poll (i32.const 800) (i32.const 900) (i32.const 1) (i32.const 1000)))";

#[tokio::test]
async fn a_guest_sleeps_no_longer_than_its_call_may_take() {
    let limits = PluginLimits { wall_time_max: Duration::from_millis(200), ..PluginLimits::DEFAULT };
    let error = failure(&encode(&core(&[POLL], &format!("{SLEEP} {IDENTITY}"), "")), limits).await;
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.message().contains("deadline of 200ms (deadline_ms)"), "{error}");
}

#[tokio::test]
async fn a_guest_that_ends_itself_ends_its_request() {
    let guest = core(&[EXIT], "(call $exit (i32.const 3)) unreachable", "");
    let error = failure(&encode(&guest), PluginLimits::DEFAULT).await;
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains("ended itself with exit code"), "{error}");
}
