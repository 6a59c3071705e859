//! Random calls that overlap, in virtual time, of a plugin that is well, ill for a while, and well again. A plugin that is well is
//! never refused; an ill one is entered ever more rarely; and one that is well again serves everybody after one back-off at most.

use nereid_seeds::{Random, for_every_seed};

use super::*;

const SETTINGS: BreakerSettings =
    BreakerSettings { failures: 5, backoff: Duration::from_millis(100), backoff_max: Duration::from_secs(2) };

/// A call under way.
struct Call {
    is_trial: bool,
    over_at: Instant,
    end: CallEnd,
}

struct World {
    random: Random,
    now: Instant,
    breaker: Breaker,
    calls: Vec<Call>,
    entered: u64,
    refused: u64,
}

impl World {
    /// Calls come for so long; of a hundred, so many lose their guest and so many are left by their client.
    fn live(&mut self, time: Duration, lost_percent: u64, left_percent: u64) {
        let until = self.now + time;
        (self.entered, self.refused) = (0, 0);
        while self.now < until {
            self.now += Duration::from_micros(self.random.below(4_000));
            self.end_calls();
            self.arrive(lost_percent, left_percent);
            let trials = self.calls.iter().filter(|call| call.is_trial).count();
            assert!(trials <= 1, "{trials} calls are tried at a time");
        }
    }

    fn end_calls(&mut self) {
        self.calls.sort_by_key(|call| call.over_at);
        while self.calls.first().is_some_and(|call| call.over_at <= self.now) {
            let call = self.calls.remove(0);
            let was_open = self.breaker.is_open();
            let change = self.breaker.end(call.is_trial, call.end, call.over_at);
            match change {
                Some(Change::Opened { .. }) => assert!(!was_open && call.end == CallEnd::Lost),
                Some(Change::OpenedAgain { backoff }) => {
                    assert!(call.is_trial && call.end == CallEnd::Lost && backoff <= SETTINGS.backoff_max);
                }
                Some(Change::Closed) => assert!(call.is_trial && call.end == CallEnd::Returned),
                None => assert_eq!(self.breaker.is_open(), was_open),
            }
        }
    }

    fn arrive(&mut self, lost_percent: u64, left_percent: u64) {
        let is_trial = match self.breaker.admit(self.now) {
            Admission::Free => false,
            Admission::Trial => true,
            Admission::Refused { wait } => {
                assert!(wait <= SETTINGS.backoff_max);
                self.refused += 1;
                return;
            }
        };
        self.entered += 1;
        let end = match self.random.below(100) {
            drawn if drawn < left_percent => CallEnd::Unknown,
            drawn if drawn < left_percent + lost_percent => CallEnd::Lost,
            _ => CallEnd::Returned,
        };
        let over_at = self.now + Duration::from_micros(self.random.below(10_000));
        self.calls.push(Call { is_trial, over_at, end });
    }
}

fn story(seed: u64, now: Instant) {
    let (random, breaker) = (Random::new(seed), Breaker::new(SETTINGS));
    let mut world = World { random, now, breaker, calls: Vec::new(), entered: 0, refused: 0 };
    let left_percent = world.random.below(20);
    world.live(Duration::from_secs(5), 0, left_percent);
    assert_eq!(world.refused, 0, "a plugin that is well is refused nothing");
    world.live(Duration::from_secs(20), 100 - left_percent, left_percent);
    // Those of the first moment, the trials of 0.1, 0.2, … 2 s, and those among them that clients left.
    assert!(world.entered < 60, "an ill plugin was entered {} times", world.entered);
    assert!(world.refused > 5_000, "{} were refused", world.refused);
    world.live(SETTINGS.backoff_max + Duration::from_millis(100), 0, 0);
    world.live(Duration::from_secs(5), 0, left_percent);
    assert_eq!(world.refused, 0, "it is well again");
}

#[test]
fn the_well_are_served_and_the_ill_let_rest() {
    for_every_seed(300, story);
}
