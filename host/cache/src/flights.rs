//! Which of several identical requests runs, and who waits for it: a state machine without locks, clocks or tasks.
//!
//! A *flight* is one execution on behalf of identical requests: a leader, whose request it is, and followers, in the order
//! of their arrival. States of a flight: led (the leader waits too), orphaned (the leader's client is gone and the
//! execution goes on for the followers), and over. Transitions:
//!
//! * *join*: there is no flight of the key and one begins; or the request follows; or there are too many followers.
//! * *leader leaves*: led becomes orphaned, or over when nobody follows: the execution may be dropped.
//! * *follower leaves*: an orphaned flight without followers is over.
//! * *land*: over, with an answer or without one. Followers of a flight without an answer join again: they never fail
//!   because of another request. They do so [`JOINS_MAX`] times; then each runs for itself, as if nothing were shared, so
//!   that a model that always fails costs nobody a long row of failures.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// How often a request may follow others before it runs for itself.
pub const JOINS_MAX: usize = 2;

/// The flights under way: `L` is what is kept of a leader, `W` of a follower.
#[derive(Debug)]
pub(crate) struct FlightTable<K, L, W> {
    flights: HashMap<K, Flight<L, W>>,
    followers_max: usize,
    next_number: u64,
}

#[derive(Debug)]
struct Flight<L, W> {
    number: u64,
    leader: L,
    leader_waits: bool,
    followers: BTreeMap<u64, W>,
}

/// What became of a request that joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It is the one that runs.
    Leads {
        flight: u64,
    },
    Follows {
        flight: u64,
        seat: u64,
    },
    /// It runs for itself.
    Full,
}

/// What a departure means for the flight.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Departure<L> {
    /// It was over already.
    Over,
    /// Others wait.
    GoesOn,
    /// Nobody waits any more, and it is over: whoever executes for this leader may stop.
    Abandoned(L),
}

/// A flight that has landed.
#[derive(Debug)]
pub(crate) struct Arrival<W> {
    pub(crate) leader_waits: bool,
    /// In the order in which they joined.
    pub(crate) followers: Vec<W>,
}

// === impl FlightTable ===

impl<K: Eq + Hash + Copy, L, W> FlightTable<K, L, W> {
    pub(crate) fn new(followers_max: usize) -> Self {
        Self { flights: HashMap::new(), followers_max, next_number: 0 }
    }

    /// Joins the flight of `key`, or begins it. `leader` or `follower` is made for what the request becomes.
    pub(crate) fn join(&mut self, key: K, leader: impl FnOnce() -> L, follower: impl FnOnce() -> W) -> Join {
        let number = self.next_number;
        self.next_number += 1;
        match self.flights.get_mut(&key) {
            None => {
                let followers = BTreeMap::new();
                self.flights.insert(key, Flight { number, leader: leader(), leader_waits: true, followers });
                Join::Leads { flight: number }
            }
            Some(flight) if flight.followers.len() >= self.followers_max => Join::Full,
            Some(flight) => {
                flight.followers.insert(number, follower());
                Join::Follows { flight: flight.number, seat: number }
            }
        }
    }

    /// The leader's client is gone.
    pub(crate) fn leader_leaves(&mut self, key: &K, number: u64) -> Departure<L> {
        self.depart(key, number, |flight| flight.leader_waits = false)
    }

    /// The follower's client is gone.
    pub(crate) fn follower_leaves(&mut self, key: &K, number: u64, seat: u64) -> Departure<L> {
        self.depart(key, number, |flight| drop(flight.followers.remove(&seat)))
    }

    /// The execution has ended; `None` when the flight was over before.
    pub(crate) fn land(&mut self, key: &K, number: u64) -> Option<Arrival<W>> {
        self.flights.get(key).filter(|flight| flight.number == number)?;
        let flight = self.flights.remove(key)?;
        Some(Arrival { leader_waits: flight.leader_waits, followers: flight.followers.into_values().collect() })
    }

    /// A flight of the same key that began later is another one, and is left alone.
    fn depart(&mut self, key: &K, number: u64, leave: impl FnOnce(&mut Flight<L, W>)) -> Departure<L> {
        let Some(flight) = self.flights.get_mut(key).filter(|flight| flight.number == number) else {
            return Departure::Over;
        };
        leave(flight);
        if flight.leader_waits || !flight.followers.is_empty() {
            return Departure::GoesOn;
        }
        self.flights.remove(key).map_or(Departure::Over, |flight| Departure::Abandoned(flight.leader))
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.flights.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> FlightTable<u8, &'static str, &'static str> {
        FlightTable::new(2)
    }

    #[test]
    fn the_first_leads_and_the_next_follow_until_there_are_too_many() {
        let mut table = table();
        let joins: Vec<Join> = (0..4).map(|_| table.join(7, || "leader", || "follower")).collect();
        let follows = |seat| Join::Follows { flight: 0, seat };
        assert_eq!(joins, [Join::Leads { flight: 0 }, follows(1), follows(2), Join::Full]);
        assert_eq!(table.join(8, || "other", || "follower"), Join::Leads { flight: 4 });
    }

    #[test]
    fn a_flight_goes_on_while_anybody_waits() {
        let mut table = table();
        table.join(7, || "leader", || "follower");
        table.join(7, || "leader", || "follower");
        assert_eq!(table.leader_leaves(&7, 0), Departure::GoesOn);
        assert_eq!(table.follower_leaves(&7, 0, 1), Departure::Abandoned("leader"));
        assert_eq!(table.follower_leaves(&7, 0, 1), Departure::Over);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_leader_alone_that_leaves_abandons_its_flight() {
        let mut table = table();
        table.join(7, || "leader", || "follower");
        assert_eq!(table.leader_leaves(&7, 0), Departure::Abandoned("leader"));
        assert!(table.land(&7, 0).is_none());
    }

    #[test]
    fn landing_hands_over_the_followers_in_order_once() {
        let mut table = table();
        table.join(7, || "leader", || "-");
        table.join(7, || "-", || "first");
        table.join(7, || "-", || "second");
        let arrival = table.land(&7, 0).unwrap();
        assert_eq!((arrival.leader_waits, arrival.followers), (true, vec!["first", "second"]));
        assert!(table.land(&7, 0).is_none());
    }

    #[test]
    fn who_belongs_to_an_earlier_flight_does_not_touch_a_later_one() {
        let mut table = table();
        table.join(7, || "early", || "-");
        table.land(&7, 0);
        table.join(7, || "late", || "-");
        assert_eq!(table.leader_leaves(&7, 0), Departure::Over);
        assert!(table.land(&7, 0).is_none());
        assert_eq!(table.len(), 1);
    }
}
