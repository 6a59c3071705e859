//! The guard, one story per test, over time that the test makes.

use super::*;

const WINDOW: Duration = Duration::from_secs(30);

/// Requests of a latency, of which some fail.
fn tally(requests: u32, failures: u32, milliseconds: u64) -> Tally {
    let mut tally = Tally::default();
    (0..requests).for_each(|_| tally.record(Duration::from_millis(milliseconds)));
    (0..failures).for_each(|_| tally.record_failure());
    tally
}

/// What a guard says one second after the swap; empty while it watches.
#[track_caller]
fn check(before: Tally, after: &Tally, expected: &str) {
    let now = Instant::now();
    let mut guard = SwapGuard::new(SwapGuardSettings::DEFAULT, before, now);
    match guard.look(now + Duration::from_secs(1), after) {
        Verdict::Watching => assert_eq!(expected, ""),
        Verdict::Passed => panic!("the window is not over"),
        Verdict::Tripped { why } => assert_eq!(why, expected),
    }
}

#[test]
fn errors_trip_it_when_they_are_many_and_more_than_before() {
    let trips =
        "50.0 % of 20 requests failed, 0.0 % of 100 before: more than 10 points worse (swap_guard_error_percent)";
    check(tally(100, 0, 1), &tally(20, 10, 1), trips);
    let trips =
        "100.0 % of 100 requests failed, 0.0 % of 0 before: more than 10 points worse (swap_guard_error_percent)";
    check(Tally::default(), &tally(100, 100, 1), trips);
    check(Tally::default(), &tally(100, 80, 1), "");
    check(tally(100, 0, 1), &tally(19, 19, 1), "");
    check(tally(100, 0, 1), &tally(100, 10, 1), "");
    check(tally(100, 50, 1), &tally(20, 10, 1), "");
}

#[test]
fn a_client_that_makes_mistakes_before_and_after_is_no_reason() {
    check(tally(1_000, 300, 1), &tally(1_000, 330, 1), "");
    let trips =
        "45.0 % of 1000 requests failed, 30.0 % of 1000 before: more than 10 points worse (swap_guard_error_percent)";
    check(tally(1_000, 300, 1), &tally(1_000, 450, 1), trips);
}

/// What a guard says whose generation answers as many requests of this latency each second, after as many seconds.
fn after_seconds(before: Tally, seconds: u32, requests: u32, milliseconds: u64) -> Verdict {
    let now = Instant::now();
    let mut guard = SwapGuard::new(SwapGuardSettings::DEFAULT, before, now);
    for second in 1..=seconds {
        guard.look(now + Duration::from_secs(1) * second, &tally(requests * second, 0, milliseconds));
    }
    guard.verdict
}

#[test]
fn latencies_trip_it_when_they_are_many_times_as_long_and_long() {
    let Verdict::Tripped { why } = after_seconds(tally(300, 0, 10), 3, 100, 100) else { panic!("not tripped") };
    assert!(
        why.starts_with("the 99th percentile of 300 requests is 1") && why.ends_with("(swap_guard_p99_ratio)"),
        "{why}"
    );
    assert_eq!(after_seconds(tally(300, 0, 10), 3, 100, 40), Verdict::Watching);
    assert_eq!(after_seconds(tally(300, 0, 1), 3, 100, 15), Verdict::Watching);
    assert_eq!(after_seconds(tally(299, 0, 10), 3, 100, 100), Verdict::Watching);
    assert_eq!(after_seconds(tally(300, 0, 10), 3, 99, 100), Verdict::Watching);
}

#[test]
fn a_moment_in_which_the_machine_stood_still_is_no_reason_and_three_are() {
    let start = Instant::now();
    let mut guard = SwapGuard::new(SwapGuardSettings::DEFAULT, tally(300, 0, 10), start);
    let mut requests = tally(380, 0, 10);
    let mut look = |after_ms, stalled| {
        (0..stalled).for_each(|_| requests.record(Duration::from_millis(150)));
        guard.look(start + Duration::from_millis(after_ms), &requests).clone()
    };
    assert_eq!(look(100, 7), Verdict::Watching);
    assert_eq!(look(200, 7), Verdict::Watching, "the same moment");
    assert_eq!(look(300, 7), Verdict::Watching);
    assert_eq!(look(5_000, 0), Verdict::Watching, "nothing more came");
    assert_eq!(look(6_000, 7), Verdict::Watching);
    assert!(matches!(look(6_500, 1), Verdict::Tripped { .. }));
}

#[test]
fn a_verdict_is_final_and_silence_passes() {
    let now = Instant::now();
    let mut guard = SwapGuard::new(SwapGuardSettings::DEFAULT, Tally::default(), now);
    assert_eq!(guard.look(now + WINDOW - Duration::from_millis(1), &Tally::default()), &Verdict::Watching);
    assert_eq!(guard.look(now + WINDOW, &Tally::default()), &Verdict::Passed);
    assert_eq!(guard.look(now + WINDOW, &tally(100, 100, 1)), &Verdict::Passed);
    let mut guard = SwapGuard::new(SwapGuardSettings::DEFAULT, Tally::default(), now);
    assert!(matches!(guard.look(now + WINDOW, &tally(100, 100, 1)), Verdict::Tripped { .. }), "the last look counts");
    assert!(matches!(guard.look(now + WINDOW * 2, &Tally::default()), Verdict::Tripped { .. }));
}
