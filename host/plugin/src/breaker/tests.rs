//! The transitions, one by one.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const SETTINGS: BreakerSettings = BreakerSettings { failures: 3, backoff: SECOND, backoff_max: Duration::from_secs(5) };

/// A breaker that has just opened, and when.
fn opened() -> (Breaker, Instant) {
    let (mut breaker, now) = (Breaker::new(SETTINGS), Instant::now());
    for expected in [None, None, Some(Change::Opened { backoff: SECOND })] {
        assert_eq!(breaker.admit(now), Admission::Free);
        assert_eq!(breaker.end(false, CallEnd::Lost, now), expected);
    }
    (breaker, now)
}

#[test]
fn an_answer_between_begins_the_count_anew() {
    let (mut breaker, now) = (Breaker::new(SETTINGS), Instant::now());
    for _ in 0..100 {
        for end in [CallEnd::Lost, CallEnd::Lost, CallEnd::Returned] {
            assert_eq!((breaker.admit(now), breaker.end(false, end, now)), (Admission::Free, None));
        }
        assert!(breaker.is_clean());
    }
}

#[test]
fn what_is_not_known_counts_neither_way() {
    let (mut breaker, now) = (Breaker::new(SETTINGS), Instant::now());
    for end in [CallEnd::Lost, CallEnd::Unknown, CallEnd::Lost, CallEnd::Unknown] {
        assert_eq!(breaker.end(false, end, now), None);
    }
    assert!(matches!(breaker.end(false, CallEnd::Lost, now), Some(Change::Opened { .. })));
}

#[test]
fn requests_are_refused_until_the_back_off_is_over_and_then_one_is_tried() {
    let (mut breaker, now) = opened();
    assert!(breaker.is_open());
    assert_eq!(breaker.admit(now), Admission::Refused { wait: SECOND });
    assert_eq!(breaker.admit(now + SECOND / 4), Admission::Refused { wait: SECOND * 3 / 4 });
    // Whoever looks before sending learns that a request would be tried.
    assert!(breaker.is_refusing(now) && !breaker.is_refusing(now + SECOND));
    assert_eq!(breaker.admit(now + SECOND), Admission::Trial);
    assert_eq!(breaker.admit(now + SECOND), Admission::Refused { wait: Duration::ZERO });
    assert!(breaker.is_refusing(now + SECOND));
    assert_eq!(breaker.end(true, CallEnd::Returned, now + SECOND), Some(Change::Closed));
    assert_eq!(breaker.admit(now + SECOND), Admission::Free);
    assert!(breaker.is_clean());
}

#[test]
fn the_back_off_doubles_up_to_its_most() {
    let (mut breaker, mut now) = opened();
    let mut wait = SECOND;
    for expected in [2, 4, 5, 5].map(Duration::from_secs) {
        now += wait;
        assert_eq!(breaker.admit(now), Admission::Trial);
        assert_eq!(breaker.end(true, CallEnd::Lost, now), Some(Change::OpenedAgain { backoff: expected }));
        wait = expected;
    }
}

#[test]
fn a_trial_that_its_client_leaves_is_tried_again_at_once() {
    let (mut breaker, now) = opened();
    let later = now + SECOND;
    assert_eq!(breaker.admit(later), Admission::Trial);
    assert_eq!(breaker.end(true, CallEnd::Unknown, later), None);
    assert_eq!(breaker.admit(later), Admission::Trial);
    assert_eq!(breaker.end(true, CallEnd::Lost, later), Some(Change::OpenedAgain { backoff: SECOND * 2 }));
}

#[test]
fn calls_that_were_let_in_before_do_not_move_it() {
    let (mut breaker, now) = opened();
    for end in [CallEnd::Returned, CallEnd::Lost, CallEnd::Unknown] {
        assert_eq!(breaker.end(false, end, now), None);
        assert_eq!(breaker.admit(now), Admission::Refused { wait: SECOND });
    }
    assert_eq!(breaker.admit(now + SECOND), Admission::Trial);
    assert_eq!(breaker.end(false, CallEnd::Returned, now + SECOND), None);
    assert!(breaker.is_open());
}

#[test]
fn without_a_number_of_failures_it_never_opens() {
    let (mut breaker, now) = (Breaker::new(BreakerSettings { failures: 0, ..SETTINGS }), Instant::now());
    for _ in 0..1000 {
        assert_eq!(breaker.end(false, CallEnd::Lost, now), None);
    }
    assert!(breaker.is_clean());
}
