//! Seeded simulation of the ledger: random loads that are measured, fail or go unmeasured, reloads, instances that come
//! and go, unloads, requests and cancelled ones. An observer of its own keeps count. After every step: the sums are the
//! observer's, nothing passes the budget, and what was refused would have passed it. At the end everything is let go, and
//! nothing is left. A failure prints its seed; `NEREID_SEED=n` replays it, `NEREID_SEEDS=n` goes deep.

use std::collections::{BTreeMap, BTreeSet};

use nereid_inference::ModelIdentity;
use nereid_seeds::{Random, for_every_random};

use crate::ledger::{Basis, EntryId, Estimate, Footprint, Ledger, LoadFacts, Measured, Reason, Refusal, Usage};

const SEEDS: u64 = 1_000;
const STEPS: usize = 300;

struct World {
    random: Random,
    budget: u64,
    ledger: Ledger,
    /// Loads under way with what they keep; a load that was refused at its end is one until it is let go.
    loading: BTreeMap<EntryId, Loading>,
    loaded: BTreeMap<EntryId, Loaded>,
    requests: Vec<u64>,
    /// What the last load of a version took, as (files, outcome); but for the first of a runtime.
    shown: BTreeMap<ModelIdentity, (u64, Measured)>,
    runtimes: BTreeSet<String>,
    refused: [u64; 4],
}

struct Loading {
    facts: LoadFacts,
    estimate: Estimate,
    is_refused: bool,
}

struct Loaded {
    model: ModelIdentity,
    footprint: Footprint,
    instances: u64,
}

impl World {
    fn new(mut random: Random) -> Self {
        let budget = random.below(1_000);
        Self {
            random,
            budget,
            ledger: Ledger::new(budget, 1_000),
            loading: BTreeMap::new(),
            loaded: BTreeMap::new(),
            requests: Vec::new(),
            shown: BTreeMap::new(),
            runtimes: BTreeSet::new(),
            refused: [0; 4],
        }
    }

    fn usage(&self) -> Usage {
        Usage {
            models: self.loaded.values().map(|loaded| loaded.footprint.of(loaded.instances)).sum(),
            loading: self.loading.values().map(|loading| loading.estimate.peak_bytes).sum(),
            in_flight: self.requests.iter().sum(),
        }
    }

    fn room(&self) -> u64 {
        self.budget.checked_sub(self.usage().total()).expect("within the budget")
    }

    fn refused(&mut self, refusal: &Refusal, reason: Reason, wanted: u64, room: u64) {
        assert!(wanted > room, "{wanted} of {reason:?} was refused, and there was room for {room}");
        assert_eq!((refusal.reason, refusal.wanted_bytes), (reason, wanted));
        assert_eq!((refusal.usage, refusal.budget_bytes), (self.usage(), self.budget));
        self.refused[reason as usize] += 1;
    }

    fn begin_load(&mut self) {
        let model = ModelIdentity::new(format!("m{}", self.random.below(5)), 1 + self.random.below(2));
        let files_bytes = 50 * self.random.below(3);
        let runtime = format!("r{}", self.random.below(3));
        let facts = LoadFacts { model, runtime, files_bytes, instances: 1 + self.random.below(4) };
        let expected = match self.shown.get(&facts.model).filter(|(files, _)| *files == files_bytes) {
            None => (files_bytes, Basis::Files),
            Some((_, took)) => (took.footprint.of(facts.instances) + took.surplus_bytes, Basis::LastLoad),
        };
        let room = self.room();
        match self.ledger.reserve(facts.clone()) {
            Ok((id, estimate)) => {
                assert_eq!((estimate.peak_bytes, estimate.basis), expected);
                assert!(expected.0 <= room, "{expected:?} does not fit into {room}");
                let before = self.loading.insert(id, Loading { facts, estimate, is_refused: false });
                assert!(before.is_none() && !self.loaded.contains_key(&id), "{id} was given twice");
            }
            Err(refusal) => self.refused(&refusal, Reason::Load, expected.0, room),
        }
    }

    fn under_way(&mut self) -> Option<EntryId> {
        let under_way: Vec<EntryId> =
            self.loading.iter().filter(|(_, loading)| !loading.is_refused).map(|(id, _)| *id).collect();
        (!under_way.is_empty()).then(|| under_way[self.random.index(under_way.len())])
    }

    fn end_load(&mut self) {
        let Some(id) = self.under_way() else { return };
        let footprint = Footprint { shared_bytes: self.random.below(200), instance_bytes: self.random.below(60) };
        let measured = Measured { footprint, surplus_bytes: self.random.below(80) };
        let loading = &self.loading[&id];
        let (facts, room) = (loading.facts.clone(), self.room() + loading.estimate.peak_bytes);
        let is_first = self.runtimes.insert(facts.runtime.clone());
        if !is_first {
            self.shown.insert(facts.model.clone(), (facts.files_bytes, measured));
        }
        let charged = footprint.of(facts.instances);
        match self.ledger.settle(id, measured) {
            Ok(()) => {
                assert!(charged <= room);
                self.loading.remove(&id);
                self.loaded.insert(id, Loaded { model: facts.model, footprint, instances: facts.instances });
            }
            Err(refusal) => {
                assert_eq!(refusal.basis == Basis::FirstOfRuntime, is_first);
                self.refused(&refusal, Reason::Measured, charged, room);
                self.loading.get_mut(&id).unwrap().is_refused = true;
            }
        }
    }

    fn end_load_unmeasured(&mut self) {
        let Some(id) = self.under_way() else { return };
        let Loading { facts, estimate, .. } = self.loading.remove(&id).unwrap();
        self.ledger.note_unmeasured(estimate);
        self.ledger.settle_unmeasured(id, estimate);
        self.runtimes.insert(facts.runtime);
        let footprint = estimate.footprint;
        self.loaded.insert(id, Loaded { model: facts.model, footprint, instances: facts.instances });
    }

    /// A load fails, at any moment of it.
    fn fail_load(&mut self) {
        let ids: Vec<EntryId> = self.loading.keys().copied().collect();
        if !ids.is_empty() {
            let id = ids[self.random.index(ids.len())];
            self.loading.remove(&id);
            self.ledger.release(id);
        }
    }

    fn some_loaded(&mut self) -> Option<EntryId> {
        let ids: Vec<EntryId> = self.loaded.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[self.random.index(ids.len())])
    }

    fn unload(&mut self) {
        let Some(id) = self.some_loaded() else { return };
        let Loaded { footprint, instances, .. } = self.loaded.remove(&id).unwrap();
        let released = self.ledger.released_bytes();
        self.ledger.release(id);
        assert_eq!(self.ledger.released_bytes(), released + footprint.of(instances));
        // A handle that is dropped twice by mistake gives nothing back twice.
        self.ledger.release(id);
    }

    fn resize(&mut self) {
        let Some(id) = self.some_loaded() else { return };
        let (room, wanted) = (self.room(), 1 + self.random.below(6));
        let loaded = self.loaded.get_mut(&id).unwrap();
        let more = loaded.footprint.of(wanted).saturating_sub(loaded.footprint.of(loaded.instances));
        match self.ledger.resize(id, wanted) {
            Ok(()) => {
                assert!(more <= room);
                loaded.instances = wanted;
            }
            Err(refusal) => self.refused(&refusal, Reason::Instances, more, room),
        }
    }

    fn begin_request(&mut self) {
        let (bytes, room) = (self.random.below(150), self.room());
        match self.ledger.admit(bytes) {
            Ok(()) => {
                assert!(bytes <= room);
                self.requests.push(bytes);
            }
            Err(refusal) => self.refused(&refusal, Reason::Request, bytes, room),
        }
    }

    /// Answered or cancelled: the ledger knows no difference.
    fn end_request(&mut self) {
        if !self.requests.is_empty() {
            let at = self.random.index(self.requests.len());
            self.ledger.finish(self.requests.swap_remove(at));
        }
    }

    fn check(&self) {
        assert_eq!(self.ledger.usage(), self.usage());
        assert!(self.usage().total() <= self.budget);
        let mut models: BTreeMap<ModelIdentity, u64> = BTreeMap::new();
        for loaded in self.loaded.values() {
            *models.entry(loaded.model.clone()).or_default() += loaded.footprint.of(loaded.instances);
        }
        let figures = self.ledger.figures();
        assert_eq!(figures.models, models);
        assert_eq!(figures.refusals.map(|(_, count)| count), self.refused);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..20 => self.begin_load(),
            20..35 => self.end_load(),
            35..38 => self.end_load_unmeasured(),
            38..44 => self.fail_load(),
            44..56 => self.unload(),
            56..64 => self.resize(),
            64..84 => self.begin_request(),
            _ => self.end_request(),
        }
        self.check();
    }

    fn wind_down(&mut self) {
        while !(self.loading.is_empty() && self.loaded.is_empty() && self.requests.is_empty()) {
            self.fail_load();
            self.unload();
            self.end_request();
            self.check();
        }
        assert_eq!(self.ledger.usage(), Usage::default(), "something leaked");
        assert!(self.ledger.admit(self.budget).is_ok(), "the whole budget is free again");
    }
}

#[test]
fn nothing_passes_the_budget_leaks_or_is_refused_without_need() {
    for_every_random(SEEDS, |random| {
        let mut world = World::new(Random::new(random.below(u64::MAX)));
        (0..STEPS).for_each(|_| world.step());
        world.wind_down();
    });
}
