//! Seeded simulation of the policy in virtual time: random requests, ends of requests, loads that fail or succeed, loads,
//! reloads and unloads by name. After every step: a model is in one load at a time, no more are loaded than allowed, what
//! makes room is idle, unpinned and needed by no ensemble, and the least recently used; a reload waits only while nobody is
//! idle and somebody may yet be, a request while there is no room or something is under way. At the end everybody was
//! answered once.
//! A failure prints its seed; `NEREID_SEED=n` replays it, `NEREID_SEEDS=n` goes deep.

mod reloads;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use nereid_inference::InferError;
use nereid_seeds::{Random, for_every_seed};

use self::reloads::WaitingReload;
use super::policy::{Action, Answer, Finished, Policy, PolicySettings, Refusal, Slot};

const SEEDS: u64 = 1_000;
const STEPS: usize = 400;

/// What an independent observer knows.
struct World {
    random: Random,
    now: Instant,
    settings: PolicySettings,
    policy: Policy<u64>,
    members: Vec<Vec<Slot>>,
    /// Which load works at each model that is being loaded.
    loading: BTreeMap<Slot, Slot>,
    unloading: BTreeSet<Slot>,
    loaded: BTreeSet<Slot>,
    pinned: BTreeSet<Slot>,
    used: BTreeMap<Slot, u64>,
    clock: u64,
    /// Requests under way, with their model.
    running: BTreeMap<u64, Slot>,
    /// Requests that wait, with their model and the end of their patience.
    waiting: BTreeMap<u64, (Slot, Instant)>,
    /// Found no memory, and wait for somebody to go.
    lacking: BTreeSet<Slot>,
    /// Reloads that wait for room.
    reloads: BTreeMap<u64, WaitingReload>,
    /// Not to be tried before.
    failed: BTreeMap<Slot, Instant>,
    next_request: u64,
}

impl World {
    fn new(seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let settings = PolicySettings {
            models_max: 1 + random.index(5),
            waiters_max: 1 + random.index(12),
            wait_max: Duration::from_millis(1 + random.below(60)),
            retry_after: Duration::from_millis(1 + random.below(40)),
            loads_max: 1 + random.index(3),
        };
        let count = 2 + random.index(7);
        let mut policy = Policy::new(settings);
        let mut members: Vec<Vec<Slot>> = Vec::new();
        for slot in 0..count {
            assert_eq!(policy.add(), slot);
            // Ensembles are made of what has a lower number, and of what that is made of.
            let mut below = BTreeSet::new();
            if slot > 0 && random.chance(35) {
                for _ in 0..=random.below(2) {
                    let member = random.index(slot);
                    below.insert(member);
                    below.extend(members[member].iter().copied());
                }
            }
            members.push(below.into_iter().collect());
            policy.set_members(slot, members[slot].clone());
        }
        Self {
            random,
            now,
            settings,
            policy,
            members,
            loading: BTreeMap::new(),
            unloading: BTreeSet::new(),
            loaded: BTreeSet::new(),
            pinned: BTreeSet::new(),
            used: BTreeMap::new(),
            clock: 0,
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            lacking: BTreeSet::new(),
            reloads: BTreeMap::new(),
            failed: BTreeMap::new(),
            next_request: 0,
        }
    }

    fn touch(&mut self, slot: Slot) {
        self.clock += 1;
        self.used.insert(slot, self.clock);
    }

    fn request(&mut self, slot: Slot) {
        let id = self.next_request;
        self.next_request += 1;
        self.touch(slot);
        if self.policy.enter(slot) {
            assert!(self.loaded.contains(&slot), "request {id} entered {slot}, which is not loaded");
            self.running.insert(id, slot);
            return;
        }
        assert!(!self.loaded.contains(&slot), "request {id} waits for {slot}, which is loaded");
        let is_failed = self.failed.get(&slot).is_some_and(|until| *until > self.now);
        match self.policy.wait(self.now, slot, id) {
            Answer::Waits => {
                assert!(self.waiting.len() < self.settings.waiters_max);
                assert!(!is_failed, "{slot} failed a short time ago");
                self.waiting.insert(id, (slot, self.now + self.settings.wait_max));
            }
            Answer::Served(_) => panic!("{slot} was not loaded a moment ago"),
            Answer::Refused(_, Refusal::TooManyWait) => assert_eq!(self.waiting.len(), self.settings.waiters_max),
            Answer::Refused(_, Refusal::Failed { .. }) => assert!(is_failed),
            Answer::Refused(_, refusal) => panic!("{refusal:?}"),
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.policy.next(self.now) {
            match action {
                Action::Load(leader) => self.begin_load(leader),
                Action::Unload(slot) => self.begin_eviction(slot),
                Action::Retry(id) => self.retry(id),
                Action::Refuse(slot, waiters, Refusal::ReloadTooLong(_)) => self.give_up_reload(slot, &waiters),
                Action::Refuse(slot, waiters, refusal) => self.refused(slot, &waiters, &refusal),
            }
            self.check_room();
        }
        // Nobody wants what nobody waits for.
        self.lacking.retain(|lacking| self.waiting.values().any(|(slot, _)| slot == lacking));
        for (id, (slot, until)) in &self.waiting {
            assert!(*until > self.now, "request {id} for {slot} waits beyond its time");
        }
        self.check_reloads();
        self.check_progress();
        let patience = self.waiting.values().map(|(_, until)| *until);
        let wake_at = patience.chain(self.reloads.values().map(|reload| reload.until)).min();
        assert_eq!(self.policy.wake_at(), wake_at);
    }

    fn begin_load(&mut self, leader: Slot) {
        if self.lacking.remove(&leader) {
            let has_hope = self.could_ever_go(leader) || !self.unloading.is_empty();
            assert!(!has_hope, "{leader} is tried again, and nobody has gone");
        }
        for slot in std::iter::once(leader).chain(self.members[leader].clone()) {
            if self.loaded.contains(&slot) {
                continue;
            }
            assert!(!self.unloading.contains(&slot), "{slot} is loaded while it is unloaded");
            self.failed.remove(&slot);
            let other = self.loading.get(&slot).copied();
            assert!(slot != leader || other.is_none(), "{slot} is loaded twice at once");
            self.loading.entry(slot).or_insert(leader);
        }
        let leaders = self.loading.iter().filter(|(slot, leader)| slot == leader).count();
        assert!(leaders <= self.settings.loads_max);
    }

    fn begin_eviction(&mut self, slot: Slot) {
        let may_go = |slot: &Slot| {
            let mut owners = self.loaded.iter().chain(self.loading.keys()).chain(&self.unloading);
            !self.pinned.contains(slot)
                && !self.running.values().any(|running| running == slot)
                && !owners.any(|owner| self.members[*owner].contains(slot))
        };
        assert!(self.loaded.contains(&slot) && may_go(&slot), "{slot} is in use");
        // But for the model that is to come and what it is made of, which only the policy knows here.
        let older = self.loaded.iter().filter(|other| may_go(other) && self.used.get(other) < self.used.get(&slot));
        let reloaded = self.reloads.values().map(|reload| reload.slot);
        let to_come: BTreeSet<Slot> = self.waiting.values().map(|(slot, _)| *slot).chain(reloaded).collect();
        let wanted = |slot: &Slot| to_come.iter().any(|model| model == slot || self.members[*model].contains(slot));
        assert!(older.clone().all(wanted), "{slot} goes before {:?}", older.collect::<Vec<_>>());
        self.loaded.remove(&slot);
        self.unloading.insert(slot);
    }

    fn refused(&mut self, slot: Slot, waiters: &[u64], refusal: &Refusal) {
        for id in waiters {
            let (wanted, until) = self.waiting.remove(id).expect("answered once");
            assert_eq!(wanted, slot);
            match refusal {
                Refusal::TooLong(_) => assert!(until <= self.now, "{id} was given up early"),
                Refusal::TooLarge { models } => assert!(*models > self.settings.models_max),
                refusal => panic!("{refusal:?}"),
            }
        }
    }

    /// When nobody is loaded or unloaded, and somebody waits, then for some model there is no room, and nobody idle who
    /// could make some. Those who wait for others wait behind it.
    fn check_progress(&self) {
        if self.waiting.is_empty() || !self.loading.is_empty() || !self.unloading.is_empty() {
            return;
        }
        let is_blocked = |slot: Slot| {
            let is_missing = |slot: &&Slot| !self.loaded.contains(slot);
            let missing = std::iter::once(&slot).chain(&self.members[slot]).filter(is_missing).count();
            let has_room = self.loaded.len() + missing <= self.settings.models_max && !self.lacking.contains(&slot);
            !has_room && self.those_who_may_go(slot).all(|idle| self.running.values().any(|at| *at == idle))
        };
        let wanted: BTreeSet<Slot> = self.waiting.values().map(|(slot, _)| *slot).collect();
        assert!(wanted.iter().any(|slot| is_blocked(*slot)), "{wanted:?} are wanted, and nothing is done");
    }

    fn check_room(&self) {
        let occupied: BTreeSet<&Slot> = self.loaded.iter().chain(self.loading.keys()).chain(&self.unloading).collect();
        // What was asked for by name is there, whatever the limit says.
        let max = self.settings.models_max.max(self.pinned.len());
        assert!(occupied.len() <= max, "{occupied:?} are more than {max}");
    }

    /// Some load ends, well or not.
    fn end_load(&mut self) {
        let leaders: Vec<Slot> = self.loading.iter().filter(|(slot, by)| slot == by).map(|(slot, _)| *slot).collect();
        let Some(leader) = leaders.get(self.random.index(leaders.len().max(1))).copied() else { return };
        if self.random.chance(15) {
            // It found no memory: somebody makes room while it goes on, or nobody can.
            if let Some(victim) = self.policy.lacked_memory(leader) {
                self.begin_eviction(victim);
                return;
            }
            if self.postpone(leader) {
                return;
            }
        }
        let fails: Vec<bool> = (0..self.members.len()).map(|_| self.random.chance(20)).collect();
        let outcome = |slot: Slot| if fails[slot] { Err(InferError::internal("broken")) } else { Ok(()) };
        let Finished { served, failed } = self.policy.finished(self.now, leader, outcome);
        let involved: Vec<Slot> = self.loading.iter().filter(|(_, by)| **by == leader).map(|(slot, _)| *slot).collect();
        for slot in involved {
            self.loading.remove(&slot);
            if fails[slot] {
                self.failed.insert(slot, self.now + self.settings.retry_after);
            } else {
                self.loaded.insert(slot);
            }
        }
        for (slot, id) in served {
            assert!(self.loaded.contains(&slot));
            let (wanted, _) = self.waiting.remove(&id).expect("answered once");
            assert_eq!(wanted, slot);
            self.running.insert(id, slot);
        }
        for (slot, id, _) in failed {
            assert!(fails[slot]);
            assert_eq!(self.waiting.remove(&id).expect("answered once").0, slot);
        }
        let left = self.waiting.values().filter(|(slot, _)| self.loaded.contains(slot)).count();
        assert_eq!(left, 0, "somebody waits for a model that is loaded");
    }

    /// Whether the load waits; some of its members are there.
    fn postpone(&mut self, leader: Slot) -> bool {
        let involved: BTreeSet<Slot> =
            self.loading.iter().filter(|(_, by)| **by == leader).map(|(slot, _)| *slot).collect();
        let there: BTreeSet<Slot> =
            involved.iter().copied().filter(|slot| *slot != leader && self.random.chance(50)).collect();
        let has_hope = self.could_ever_go(leader) || !self.unloading.is_empty();
        let reason = InferError::resource_exhausted("no room");
        let postponed = self.policy.postponed(leader, &reason, |slot| there.contains(&slot));
        assert_eq!(postponed.is_some(), has_hope, "{leader} is to wait if somebody can go, and only then");
        let Some(served) = postponed else { return false };
        self.loading.retain(|slot, _| !involved.contains(slot));
        self.loaded.extend(&there);
        self.lacking.insert(leader);
        for (slot, id) in served {
            let (wanted, _) = self.waiting.remove(&id).expect("answered once");
            assert!(wanted == slot && there.contains(&slot));
            self.running.insert(id, slot);
        }
        true
    }

    /// Whether somebody is loaded who could make room for the model, once idle.
    fn could_ever_go(&self, leader: Slot) -> bool {
        self.those_who_may_go(leader).next().is_some()
    }

    /// Those who can make room for the model, once idle.
    fn those_who_may_go(&self, leader: Slot) -> impl Iterator<Item = Slot> {
        let owners: Vec<Slot> = self.loaded.iter().chain(self.loading.keys()).chain(&self.unloading).copied().collect();
        let is_needed = move |slot: Slot| {
            owners.iter().chain([&leader]).any(|owner| self.members[*owner].contains(&slot)) || slot == leader
        };
        self.loaded.iter().copied().filter(move |slot| !self.pinned.contains(slot) && !is_needed(*slot))
    }

    fn end_unload(&mut self) {
        let unloading: Vec<Slot> = self.unloading.iter().copied().collect();
        let Some(slot) = unloading.get(self.random.index(unloading.len().max(1))).copied() else { return };
        self.unloading.remove(&slot);
        self.lacking.clear();
        self.reloads.values_mut().for_each(|reload| reload.may_fit = true);
        self.policy.gone(slot);
    }

    fn end_request(&mut self) {
        let running: Vec<u64> = self.running.keys().copied().collect();
        let Some(id) = running.get(self.random.index(running.len().max(1))) else { return };
        let slot = self.running.remove(id).unwrap();
        self.policy.done(slot);
    }

    /// Clients go; whoever is left must still be answered.
    fn forget(&mut self) {
        let gone: BTreeSet<u64> = self.waiting.keys().copied().filter(|id| id % 3 == 0).collect();
        let forgotten: BTreeSet<u64> = self.policy.forget(|id| gone.contains(id)).into_iter().collect();
        assert_eq!(forgotten, gone);
        self.waiting.retain(|id, _| !gone.contains(id));
    }

    fn pin(&mut self, slot: Slot) {
        let pinned = self.random.chance(30) && self.loaded.contains(&slot);
        self.policy.pin(slot, pinned);
        if pinned {
            self.pinned.insert(slot)
        } else {
            self.pinned.remove(&slot)
        };
    }

    fn unload_by_name(&mut self, slot: Slot) {
        let begun = self.policy.begin_unload(slot);
        assert_eq!(begun, self.loaded.contains(&slot));
        if begun {
            self.loaded.remove(&slot);
            self.unloading.insert(slot);
        }
    }

    fn step(&mut self) {
        let slot = self.random.index(self.members.len());
        match self.random.below(100) {
            0..45 => self.request(slot),
            45..65 => self.end_request(),
            65..77 => self.end_load(),
            77..89 => self.end_unload(),
            89..91 => self.forget(),
            91..94 => self.pin(slot),
            94..95 => self.unload_by_name(slot),
            95..97 => self.reload(slot),
            _ => self.now += Duration::from_millis(self.random.below(25)),
        }
        self.act();
    }

    /// Nothing new comes, and time passes: in the end nobody waits, and everything but what is pinned can go.
    fn wind_down(&mut self) {
        for _ in 0..10_000 {
            if self.waiting.is_empty()
                && self.reloads.is_empty()
                && self.loading.is_empty()
                && self.unloading.is_empty()
                && self.running.is_empty()
            {
                return;
            }
            self.end_load();
            self.end_unload();
            self.end_request();
            self.now += Duration::from_millis(1);
            self.act();
        }
        panic!("somebody was never answered: {:?}", self.waiting);
    }
}

fn simulate(seed: u64, now: Instant) {
    let mut world = World::new(seed, now);
    (0..STEPS).for_each(|_| world.step());
    world.wind_down();
}

#[test]
fn every_waiter_is_answered_and_nothing_in_use_makes_room() {
    for_every_seed(SEEDS, simulate);
}
