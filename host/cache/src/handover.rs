//! The flights of a model between threads: leaders and followers hold their places, and letting a place go is leaving.
//!
//! Promises: every follower is told exactly once what became of its flight, or has left; a leader that disappears without a
//! word lands without an answer. Nobody waits for a lock longer than it takes to change the table: answers are handed over
//! behind it.
//!
//! A leader that leaves has begun an execution which counts as its own. When that succeeds for others, one follower that
//! is still there *inherits* it, so that every request is counted once; the hand-over decides who.

use std::{hash::Hash, sync::Arc};

use nereid_sync::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::flights::{Arrival, Departure, FlightTable, Join};

/// The flights under way.
pub struct Flights<K: Key, T> {
    table: Mutex<FlightTable<K, Arc<Notify>, oneshot::Sender<Landed<T>>>>,
}

/// What requests are compared by.
pub trait Key: Copy + Eq + Hash {}

/// What became of a request that joined.
pub enum Joined<K: Key, T> {
    /// It runs, for itself and for who follows.
    Leads(Leadership<K, T>),
    /// It waits.
    Follows(Seat<K, T>),
    /// Too many wait already: it runs for itself.
    Full,
}

/// The duty to land one flight.
pub struct Leadership<K: Key, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    number: u64,
    abandoned: Arc<Notify>,
    is_over: bool,
}

/// The place of one follower.
pub struct Seat<K: Key, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    number: u64,
    seat: u64,
    landing: oneshot::Receiver<Landed<T>>,
    is_over: bool,
}

/// How a flight ended for a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed<T> {
    /// With an answer. `inherits`: the execution counts as this follower's.
    Answer { answer: T, inherits: bool },
    /// Without one: join again.
    Failed,
}

/// What the departure of a leader means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderLeft {
    /// Others wait for the execution.
    GoesOn,
    /// Nobody does.
    Abandoned,
}

impl<K: Copy + Eq + Hash> Key for K {}

// === impl Flights ===

impl<K: Key, T: Clone> Flights<K, T> {
    /// None under way; at most `followers_max` are to follow each.
    pub fn new(followers_max: usize) -> Arc<Self> {
        Arc::new(Self { table: Mutex::new(FlightTable::new(followers_max)) })
    }

    /// Joins the flight of `key`, or begins it.
    pub fn join(self: &Arc<Self>, key: K) -> Joined<K, T> {
        let abandoned = Arc::new(Notify::new());
        let mut landing = None;
        let follower = || {
            let (sender, receiver) = oneshot::channel();
            landing = Some(receiver);
            sender
        };
        let join = self.table.lock().join(key, || abandoned.clone(), follower);
        let flights = self.clone();
        match (join, landing) {
            (Join::Leads { flight: number }, _) => {
                Joined::Leads(Leadership { flights, key, number, abandoned, is_over: false })
            }
            (Join::Follows { flight: number, seat }, Some(landing)) => {
                Joined::Follows(Seat { flights, key, number, seat, landing, is_over: false })
            }
            (Join::Follows { .. } | Join::Full, _) => Joined::Full,
        }
    }

    /// Ends a flight and tells its followers. Returns whether one of them inherited the execution.
    fn land(&self, key: &K, number: u64, answer: Option<T>) -> bool {
        let arrival = self.table.lock().land(key, number);
        let Some(Arrival { leader_waits, followers }) = arrival else { return false };
        let mut needs_heir = !leader_waits;
        for follower in followers {
            let landed = match &answer {
                Some(answer) => Landed::Answer { answer: answer.clone(), inherits: needs_heir },
                None => Landed::Failed,
            };
            // One that leaves at this moment does not take it, and the next one may inherit.
            let is_taken = follower.send(landed).is_ok();
            needs_heir &= !is_taken;
        }
        answer.is_some() && !leader_waits && !needs_heir
    }
}

// === impl Leadership ===

impl<K: Key, T: Clone> Leadership<K, T> {
    /// The leader's client is gone. When others wait, the leader goes on for them.
    pub fn leave(&mut self) -> LeaderLeft {
        match self.flights.table.lock().leader_leaves(&self.key, self.number) {
            Departure::GoesOn => LeaderLeft::GoesOn,
            Departure::Over | Departure::Abandoned(_) => {
                self.is_over = true;
                LeaderLeft::Abandoned
            }
        }
    }

    /// Completes when nobody waits for the execution any more; never, while the leader has not left.
    pub async fn abandoned(&self) {
        self.abandoned.notified().await;
    }

    /// Hands the answer to everybody who follows, or sends them to try again. Returns whether the leader had left and a
    /// follower inherited the execution: then the leader is to be counted as gone.
    pub fn land(mut self, answer: Option<T>) -> bool {
        self.is_over = true;
        self.flights.land(&self.key, self.number, answer)
    }
}

impl<K: Key, T> Drop for Leadership<K, T> {
    /// Without a word: dropping the senders tells the followers.
    fn drop(&mut self) {
        if !self.is_over {
            let arrival = self.flights.table.lock().land(&self.key, self.number);
            drop(arrival);
        }
    }
}

// === impl Seat ===

impl<K: Key, T> Seat<K, T> {
    /// How the flight ended.
    pub async fn landed(&mut self) -> Landed<T> {
        let landed = (&mut self.landing).await;
        self.is_over = true;
        landed.unwrap_or(Landed::Failed)
    }

    /// The follower's client is gone. What was handed over at this very moment is returned: it has been counted on.
    pub fn leave(mut self) -> Option<Landed<T>> {
        self.landing.close();
        self.landing.try_recv().ok()
    }
}

impl<K: Key, T> Drop for Seat<K, T> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let departure = self.flights.table.lock().follower_leaves(&self.key, self.number, self.seat);
        if let Departure::Abandoned(leader) = departure {
            leader.notify_one();
        }
    }
}
