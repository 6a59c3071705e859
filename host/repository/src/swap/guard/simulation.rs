//! Random traffic before and after a swap, looked at as the keeper does, in virtual time. Whoever is as good as the one before
//! stays, whatever that one's error rate was; whoever is far worse goes, once enough is known; and nobody comes back.
//! Samples mislead: of 100,000 good generations 27 are sent away, which costs an update that has to be tried again. Half a
//! deviation more would make it six, and leave bad ones a tenth longer.

use std::sync::atomic::{AtomicU64, Ordering};

use nereid_seeds::{Random, for_every_seed};
use parking_lot::Mutex;

use super::*;

const LOOKS: u64 = 300;

/// One of so many good generations may be sent away.
const WRONG_ONE_IN: usize = 1_000;

static STORIES: AtomicU64 = AtomicU64::new(0);

/// The seeds of those that were.
static WRONG: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// While a machine stands still.
const STALL: Duration = Duration::from_millis(200);

/// Requests with this error rate, each of which takes so much longer than it need.
fn serve(random: &mut Random, tally: &mut Tally, requests: u64, error_percent: u64, delay: Duration) {
    for _ in 0..requests {
        tally.record(delay + Duration::from_micros(1_000 + random.below(2_000)));
        if random.chance(error_percent) {
            tally.record_failure();
        }
    }
}

/// Watches a generation to the end of its window, while its machine stands still once; says when it tripped.
fn watch(random: &mut Random, start: Instant, baseline: Tally, error_percent: u64, delay: Duration) -> Option<u64> {
    let mut guard = SwapGuard::new(SwapGuardSettings::DEFAULT, baseline, start);
    let (mut tally, mut tripped) = (Tally::default(), None);
    let stalled = random.below(LOOKS);
    for look in 1..=LOOKS {
        let requests = random.below(8);
        let delay = if look == stalled { STALL } else { delay };
        serve(random, &mut tally, requests, error_percent, delay);
        let now =
            start + SwapGuardSettings::DEFAULT.window * u32::try_from(look).unwrap() / u32::try_from(LOOKS).unwrap();
        match guard.look(now, &tally) {
            Verdict::Watching => assert!(look < LOOKS && tripped.is_none(), "the window is over"),
            Verdict::Passed => assert!(look == LOOKS && tripped.is_none(), "passed at look {look}"),
            Verdict::Tripped { .. } => tripped = tripped.or(Some(look)),
        }
    }
    tripped
}

fn story(seed: u64, start: Instant) {
    let mut random = Random::new(seed);
    let error_percent = random.below(40);
    let mut baseline = Tally::default();
    let requests = random.below(3_000);
    serve(&mut random, &mut baseline, requests, error_percent, Duration::ZERO);
    let tripped = watch(&mut random, start, baseline.clone(), error_percent, Duration::ZERO);
    STORIES.fetch_add(1, Ordering::Relaxed);
    if tripped.is_some() {
        WRONG.lock().push(seed);
    }
    let worse = error_percent + 30 + random.below(30);
    let tripped = watch(&mut random, start, baseline.clone(), worse, Duration::ZERO);
    // Of a generation with few requests little is known.
    if requests > 100 {
        assert!(tripped.is_some_and(|look| look < LOOKS / 2), "{worse} % after {error_percent} %: {tripped:?}");
    }
    let tripped = watch(&mut random, start, baseline, error_percent, Duration::from_millis(30));
    if requests >= LATENCIES_MIN {
        assert!(tripped.is_some_and(|look| look < LOOKS / 2), "30 ms slower: {tripped:?}");
    }
}

#[test]
fn the_good_stay_and_the_bad_go() {
    for_every_seed(500, story);
    let (stories, wrong) = (STORIES.load(Ordering::Relaxed), WRONG.lock());
    let allowed = usize::try_from(stories).unwrap().div_ceil(WRONG_ONE_IN);
    assert!(wrong.len() <= allowed, "as good as before and sent away, {allowed} of {stories} allowed: seeds {wrong:?}");
}
