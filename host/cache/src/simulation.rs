//! The state machine of flights over random arrivals, cancellations and failures, in virtual time.
//!
//! Around it, what `pipeline/src/caching.rs` does: join, look up, execute, land, join again. Checked after every event and
//! at the end: every request ends once and as itself; at most one shared execution per key; what nobody waits for does not
//! go on; nothing stays behind.

use std::collections::{BTreeMap, BTreeSet};

use nereid_seeds::{Random, for_every_random};

use crate::flights::{Departure, FlightTable, JOINS_MAX, Join};

const FOLLOWERS_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Hit,
    /// Its own execution, or one that it inherited, succeeded.
    Executed,
    /// Its own execution failed.
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    NotArrived,
    Leads(u64),
    Follows(u64, u64),
    Alone,
    /// A leader whose client has gone: its execution goes on for others.
    Left,
    Over,
}

#[derive(Debug)]
struct Request {
    key: u8,
    joins: usize,
    place: Place,
    /// The flight that it was in last, and its seat as a follower.
    flew: Option<(u64, Option<u64>)>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrive(usize),
    Leave(usize),
    /// The execution that the request began has ended.
    Executed {
        request: usize,
        flight: Option<u64>,
    },
}

struct World<'a> {
    random: &'a mut Random,
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    table: FlightTable<u8, usize, usize>,
    requests: Vec<Request>,
    cache: BTreeSet<u8>,
    /// The leaders of flights that execute.
    executing: BTreeMap<u64, usize>,
}

impl World<'_> {
    fn after(&mut self, delay_max: u64, event: Event) {
        let at = self.now + self.random.below(delay_max + 1);
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn end(&mut self, index: usize, end: End) {
        let request = &mut self.requests[index];
        assert_eq!(request.end, None, "request {index} ends again, as {end:?}");
        request.end = Some(end);
        request.place = Place::Over;
    }

    fn visit(&mut self, index: usize) {
        let request = &mut self.requests[index];
        let key = request.key;
        if request.joins == JOINS_MAX {
            request.place = Place::Alone;
            return self.after(40, Event::Executed { request: index, flight: None });
        }
        request.joins += 1;
        match self.table.join(key, || index, || index) {
            Join::Full => {
                self.requests[index].place = Place::Alone;
                self.after(40, Event::Executed { request: index, flight: None });
            }
            Join::Follows { flight, seat } => {
                self.requests[index].place = Place::Follows(flight, seat);
                self.requests[index].flew = Some((flight, Some(seat)));
                let follows = |request: &&Request| matches!(request.place, Place::Follows(its, _) if its == flight);
                let followers = self.requests.iter().filter(follows).count();
                assert!(followers <= FOLLOWERS_MAX, "{followers} follow flight {flight}");
            }
            Join::Leads { flight } => {
                self.requests[index].place = Place::Leads(flight);
                self.requests[index].flew = Some((flight, None));
                if self.cache.contains(&key) {
                    return self.land(index, flight, Some(End::Hit));
                }
                let others = self.executing.values().filter(|leader| self.requests[**leader].key == key);
                assert_eq!(others.count(), 0, "a second shared execution of key {key}");
                self.executing.insert(flight, index);
                self.after(40, Event::Executed { request: index, flight: Some(flight) });
            }
        }
    }

    fn land(&mut self, leader: usize, flight: u64, answer: Option<End>) {
        let key = self.requests[leader].key;
        let Some(arrival) = self.table.land(&key, flight) else {
            return assert!(matches!(self.requests[leader].place, Place::Over));
        };
        assert_eq!(arrival.leader_waits, matches!(self.requests[leader].place, Place::Leads(_)));
        assert!(arrival.leader_waits || !arrival.followers.is_empty(), "an execution for nobody");
        match (arrival.leader_waits, answer) {
            (true, answer) => self.end(leader, answer.unwrap_or(End::Failed)),
            (false, Some(_)) => self.end(leader, End::Cancelled),
            // The failure counts as the leader's.
            (false, None) => self.end(leader, End::Failed),
        }
        for (position, follower) in arrival.followers.into_iter().enumerate() {
            assert!(matches!(self.requests[follower].place, Place::Follows(its, _) if its == flight));
            match answer {
                Some(_) if position == 0 && !arrival.leader_waits => self.end(follower, End::Executed),
                Some(_) => self.end(follower, End::Hit),
                None => self.visit(follower),
            }
        }
    }

    fn leave(&mut self, index: usize) {
        let key = self.requests[index].key;
        let departure = match self.requests[index].place {
            // A client that never came.
            Place::NotArrived | Place::Left => return,
            // One that has its answer: whatever flies now is another flight.
            Place::Over => {
                let late = match self.requests[index].flew {
                    Some((flight, Some(seat))) => self.table.follower_leaves(&key, flight, seat),
                    Some((flight, None)) => self.table.leader_leaves(&key, flight),
                    None => return,
                };
                return assert_eq!(late, Departure::Over, "request {index} left a flight that it was not in");
            }
            Place::Alone => return self.end(index, End::Cancelled),
            Place::Leads(flight) => {
                let departure = self.table.leader_leaves(&key, flight);
                self.requests[index].place = Place::Left;
                departure
            }
            Place::Follows(flight, seat) => {
                self.end(index, End::Cancelled);
                self.table.follower_leaves(&key, flight, seat)
            }
        };
        match departure {
            Departure::Over => panic!("request {index} left a flight that was over, and had not been told"),
            Departure::GoesOn => {}
            Departure::Abandoned(leader) => {
                self.executing.retain(|_, its| *its != leader);
                self.end(leader, End::Cancelled);
            }
        }
    }

    fn executed(&mut self, index: usize, flight: Option<u64>) {
        let succeeds = !self.random.chance(30);
        match flight {
            // The client is gone and the execution with it.
            None if self.requests[index].end.is_some() => {}
            None => self.end(index, if succeeds { End::Executed } else { End::Failed }),
            Some(flight) if self.executing.remove(&flight).is_some() => {
                if succeeds && self.random.chance(60) {
                    self.cache.insert(self.requests[index].key);
                }
                self.land(index, flight, succeeds.then_some(End::Executed));
            }
            Some(_) => {}
        }
        if self.random.chance(20) {
            self.cache.clear();
        }
    }
}

fn simulate(random: &mut Random) {
    let count = 1 + random.below(40) as usize;
    let keys = 1 + random.below(4);
    let requests = (0..count)
        .map(|_| Request { key: random.below(keys) as u8, joins: 0, place: Place::NotArrived, flew: None, end: None })
        .collect();
    let mut world = World {
        random,
        now: 0,
        sequence: 0,
        events: BTreeMap::new(),
        table: FlightTable::new(FOLLOWERS_MAX),
        requests,
        cache: BTreeSet::new(),
        executing: BTreeMap::new(),
    };
    for index in 0..count {
        world.after(100, Event::Arrive(index));
        if world.random.chance(40) {
            world.after(160, Event::Leave(index));
        }
    }
    while let Some(((at, _), event)) = world.events.pop_first() {
        world.now = at;
        match event {
            Event::Arrive(index) => world.visit(index),
            Event::Leave(index) => world.leave(index),
            Event::Executed { request, flight } => world.executed(request, flight),
        }
        assert_eq!(world.table.len(), world.executing.len(), "flights that nobody executes, or the reverse");
    }
    for (index, request) in world.requests.iter().enumerate() {
        assert!(request.end.is_some(), "request {index} never ended: {request:?}");
    }
    assert_eq!(world.table.len(), 0);
}

#[test]
fn every_request_ends_once_and_as_itself() {
    for_every_random(1_000, simulate);
}
