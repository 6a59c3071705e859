//! Quotas in virtual time.

use nereid_seeds::for_every_random;

use super::*;

/// Runs of the simulation.
const SEEDS: u64 = 300;

const SECOND: Duration = Duration::from_secs(1);

fn rate(requests_per_second: f64, burst: u64) -> Quota {
    Quota::new(Some(requests_per_second), Some(burst), None).unwrap()
}

#[test]
fn a_burst_goes_at_once_and_the_rest_in_time() {
    let (quota, mut meter) = (rate(10.0, 3), Meter::default());
    let start = SECOND;
    for _ in 0..3 {
        assert_eq!(meter.admit(&quota, start), Ok(()));
    }
    let Err(Exceeded::Rate { wait, .. }) = meter.admit(&quota, start) else { panic!("a fourth one") };
    assert_eq!(wait, Duration::from_millis(100));
    assert!(meter.admit(&quota, start + wait - Duration::from_nanos(1)).is_err());
    assert_eq!(meter.admit(&quota, start + wait), Ok(()));
    assert!(meter.admit(&quota, start + wait).is_err());
}

#[test]
fn who_waited_for_long_has_one_burst_and_not_more() {
    let (quota, mut meter) = (rate(10.0, 3), Meter::default());
    assert_eq!(meter.admit(&quota, SECOND), Ok(()));
    let later = 1000 * SECOND;
    let admitted = (0..10).filter(|_| meter.admit(&quota, later).is_ok()).count();
    assert_eq!(admitted, 3);
}

#[test]
fn a_refused_request_costs_nothing() {
    let quota = Quota::new(Some(1.0), Some(1), Some(1)).unwrap();
    let mut meter = Meter::default();
    assert_eq!(meter.admit(&quota, SECOND), Ok(()));
    for _ in 0..100 {
        assert_eq!(meter.admit(&quota, 2 * SECOND), Err(Exceeded::Concurrency { most: 1 }));
    }
    meter.release();
    assert_eq!(meter.admit(&quota, 2 * SECOND), Ok(()));
    meter.release();
    for _ in 0..100 {
        assert!(matches!(meter.admit(&quota, 2 * SECOND), Err(Exceeded::Rate { .. })));
    }
    assert_eq!(meter.under_way(), 0);
}

#[test]
fn numbers_that_bound_nothing_or_everything_are_refused() {
    for (numbers, expected) in [
        ((None, Some(3), None), "'burst' needs 'requests_per_second'"),
        ((Some(0.0), None, None), "'requests_per_second' is 0, expected a number from"),
        ((Some(-1.0), None, None), "'requests_per_second' is -1"),
        ((Some(f64::NAN), None, None), "'requests_per_second' is NaN"),
        ((Some(f64::INFINITY), None, None), "'requests_per_second' is inf"),
        ((Some(1.0), Some(0), None), "'burst' is 0"),
        ((None, None, Some(0)), "'concurrent_requests' is 0"),
    ] {
        let error = Quota::new(numbers.0, numbers.1, numbers.2).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(Quota::new(Some(2.5), None, None).unwrap().rate.unwrap().burst, 3);
    assert_eq!(Quota::new(None, None, None).unwrap(), Quota::default());
}

/// In every span of time there are no more than the burst and what the rate allows in it; and who keeps to the rate is never
/// refused for it.
#[test]
fn no_span_of_time_has_more_than_its_share() {
    for_every_random(SEEDS, |random| {
        let (per_second, burst) = (1.0 + random.below(1000) as f64 / 7.0, 1 + random.below(20));
        let most = 1 + random.below(10);
        let quota = Quota::new(Some(per_second), Some(burst), Some(most)).unwrap();
        let (mut meter, mut now, mut admitted, mut under_way) = (Meter::default(), SECOND, Vec::new(), 0);
        for _ in 0..300 {
            now += Duration::from_micros(random.below(30_000));
            if under_way > 0 && random.below(2) == 0 {
                meter.release();
                under_way -= 1;
            }
            match meter.admit(&quota, now) {
                Ok(()) => {
                    admitted.push(now);
                    under_way += 1;
                }
                Err(Exceeded::Concurrency { .. }) => assert_eq!(under_way, most),
                Err(Exceeded::Rate { wait, .. }) => {
                    assert!(under_way < most);
                    let mut patient = meter;
                    assert_eq!(patient.admit(&quota, now + wait), Ok(()), "the wait that was told is long enough");
                }
            }
            assert_eq!(meter.under_way(), under_way);
        }
        for (index, first) in admitted.iter().enumerate() {
            for (count, last) in (1..).zip(&admitted[index..]) {
                let share = burst as f64 + (*last - *first).as_secs_f64() * per_second;
                assert!(
                    f64::from(count) <= share + 1e-3,
                    "{count} requests in {:?}, {share} are allowed",
                    *last - *first
                );
            }
        }
    });
}
