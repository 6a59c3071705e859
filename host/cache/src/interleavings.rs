//! Flights under many orders in which leaders, followers and their clients can take their steps. A follower that is never
//! told, or a leader that never hears that it is abandoned, is a deadlock, which shuttle reports.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nereid_sync::{
    shuttle::{check_pct, future::block_on},
    thread,
};

use crate::{Flights, Joined, Landed, LeaderLeft, Leadership, Seat};

/// Orders tried of each story.
const ORDERS: usize = 2_000;

/// How many times an order departs from running each thread as long as it can.
const DEPARTURES: usize = 4;

const KEY: u8 = 7;

/// Many.
const FOLLOWERS_MAX: usize = 16;

type Shared = Arc<Flights<u8, u64>>;

/// What the requests of a story have come to.
#[derive(Default)]
struct Counts {
    executed: AtomicUsize,
    answered: AtomicUsize,
    heirs: AtomicUsize,
    inherited: AtomicUsize,
}

fn check(story: impl Fn() + Send + Sync + 'static) {
    check_pct(story, ORDERS, DEPARTURES);
}

fn add(count: &AtomicUsize, more: usize) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn get(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

impl Counts {
    fn told(&self, landed: &Landed<u64>) {
        if let Landed::Answer { answer, inherits } = landed {
            assert_eq!(*answer, 1);
            add(&self.answered, 1);
            add(&self.heirs, usize::from(*inherits));
        }
    }

    /// A request whose client stays until it is answered.
    fn ask(&self, flights: &Shared) {
        loop {
            match flights.join(KEY) {
                Joined::Full => panic!("there are few"),
                Joined::Leads(leadership) => {
                    add(&self.executed, 1);
                    assert!(!leadership.land(Some(1)), "this leader has not left");
                    return add(&self.answered, 1);
                }
                Joined::Follows(mut seat) => {
                    let landed = block_on(seat.landed());
                    self.told(&landed);
                    if landed != Landed::Failed {
                        return;
                    }
                }
            }
        }
    }

    /// A follower whose client goes at once.
    fn follow_and_go(&self, seat: Seat<u8, u64>) {
        if let Some(landed) = seat.leave() {
            self.told(&landed);
        }
    }

    /// A leader whose client goes before the execution ends.
    fn lead_and_go(&self, mut leadership: Leadership<u8, u64>) {
        if leadership.leave() == LeaderLeft::GoesOn {
            add(&self.executed, 1);
            add(&self.inherited, usize::from(leadership.land(Some(1))));
        }
    }
}

fn lead(flights: &Shared) -> Leadership<u8, u64> {
    match flights.join(KEY) {
        Joined::Leads(leadership) => leadership,
        _ => panic!("nobody was there before"),
    }
}

fn follow(flights: &Shared) -> Seat<u8, u64> {
    match flights.join(KEY) {
        Joined::Follows(seat) => seat,
        _ => panic!("somebody leads"),
    }
}

fn spawn(counts: &Arc<Counts>, work: impl FnOnce(&Counts) + Send + 'static) -> thread::JoinHandle<()> {
    let counts = counts.clone();
    thread::spawn(move || work(&counts))
}

fn join_all(threads: Vec<thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn identical_requests_are_all_answered_and_those_that_meet_run_once() {
    check(|| {
        let (flights, counts): (Shared, _) = (Flights::new(FOLLOWERS_MAX), Arc::new(Counts::default()));
        let leadership = lead(&flights);
        let followers = (0..2).map(|_| {
            let seat = follow(&flights);
            spawn(&counts, move |counts| {
                let mut seat = seat;
                counts.told(&block_on(seat.landed()));
            })
        });
        let mut threads: Vec<_> = followers.collect();
        let late = flights.clone();
        threads.push(spawn(&counts, move |counts| counts.ask(&late)));
        assert!(!leadership.land(Some(1)));
        join_all(threads);
        assert_eq!(get(&counts.answered), 3);
        // The late one, if it came after the landing.
        assert!(get(&counts.executed) <= 1 && get(&counts.heirs) == 0);
    });
}

#[test]
fn an_execution_whose_client_has_gone_has_one_heir_who_knows_of_it() {
    check(|| {
        let (flights, counts): (Shared, _) = (Flights::new(FOLLOWERS_MAX), Arc::new(Counts::default()));
        let leadership = lead(&flights);
        let (staying, going) = (follow(&flights), follow(&flights));
        join_all(vec![
            spawn(&counts, move |counts| counts.lead_and_go(leadership)),
            spawn(&counts, move |counts| counts.follow_and_go(going)),
            spawn(&counts, move |counts| {
                let mut staying = staying;
                counts.told(&block_on(staying.landed()));
            }),
        ]);
        assert_eq!((get(&counts.executed), get(&counts.heirs), get(&counts.inherited)), (1, 1, 1));
    });
}

#[test]
fn a_leader_whose_followers_all_go_is_told_or_finds_no_heir() {
    check(|| {
        let (flights, counts): (Shared, _) = (Flights::new(FOLLOWERS_MAX), Arc::new(Counts::default()));
        let leadership = lead(&flights);
        let seats = [follow(&flights), follow(&flights)];
        let mut threads: Vec<_> =
            seats.map(|seat| spawn(&counts, move |counts| counts.follow_and_go(seat))).into_iter().collect();
        threads.push(spawn(&counts, move |counts| counts.lead_and_go(leadership)));
        join_all(threads);
        assert_eq!(get(&counts.heirs), get(&counts.inherited), "somebody counts an execution, or nobody does");
    });
}

#[test]
fn a_leader_hears_that_nobody_waits_any_more() {
    check(|| {
        let (flights, counts): (Shared, _) = (Flights::new(FOLLOWERS_MAX), Arc::new(Counts::default()));
        let mut leadership = lead(&flights);
        let seats = [follow(&flights), follow(&flights)];
        let mut threads: Vec<_> =
            seats.map(|seat| spawn(&counts, move |counts| counts.follow_and_go(seat))).into_iter().collect();
        threads.push(spawn(&counts, move |_| {
            if leadership.leave() == LeaderLeft::GoesOn {
                // Shuttle lets others go on when a lock is taken, not when it is let go; and now they may all leave.
                thread::yield_now();
                block_on(leadership.abandoned());
            }
        }));
        join_all(threads);
        // The key is free: the next one leads.
        assert!(matches!(flights.join(KEY), Joined::Leads(_)));
    });
}

#[test]
fn who_followed_a_leader_that_disappears_runs_for_all() {
    check(|| {
        let (flights, counts): (Shared, _) = (Flights::new(FOLLOWERS_MAX), Arc::new(Counts::default()));
        let leadership = lead(&flights);
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let flights = flights.clone();
                spawn(&counts, move |counts| counts.ask(&flights))
            })
            .collect();
        threads.push(spawn(&counts, move |_| drop(leadership)));
        join_all(threads);
        assert_eq!(get(&counts.answered), 2);
        assert!((1..=2).contains(&get(&counts.executed)), "{} executions", get(&counts.executed));
    });
}
