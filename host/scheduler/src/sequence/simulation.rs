//! Seeded simulation of sequences: random clients over the real policy in virtual time. Clients start, go on, end, fall
//! silent, cancel, ask for timeouts and reuse ids; instances come and go. The invariants: every request has one fate; a
//! sequence runs in order, one request at a time, in one slot; no row has two sequences and none is reused before its
//! sequence has ended; memory never crosses; nobody waits for a slot while one is free, nor for an idle instance longer
//! than the settings say; every timer is kept. A failure prints its seed; `NEREID_SEED=n` replays it.

mod checks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nereid_inference::SequenceId;

use super::*;
use crate::{
    BatchingSettings, QueuePolicy, SchedulerSettings,
    policy::{Actions, Event, Policy},
    queue::Wish,
    random::{Random, for_every_seed},
};

const SEEDS: u64 = 1_000;
const STEPS: usize = 300;
const MICROSECOND: Duration = Duration::from_micros(1);

#[derive(Clone, Debug)]
struct Request {
    id: usize,
    flags: SequenceFlags,
    shape: u64,
    cancelled: Arc<AtomicBool>,
    /// What the sequence remembered when this request ran: who started it.
    started_by: Option<usize>,
    is_padding: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Running,
    Executed,
    Refused,
    Cancelled,
}

struct Known {
    request: Request,
    fate: Fate,
    arrived: Instant,
    /// The request that started its sequence, as the client sees it.
    start: usize,
    deadline: Option<Instant>,
}

/// A sequence as its client knows it.
struct Client {
    id: SequenceId,
    start: usize,
    requests: Vec<usize>,
    /// When it last had something that waited or ran.
    active: Instant,
}

struct World {
    random: Random,
    now: Instant,
    settings: SchedulerSettings,
    sequences: SequenceSettings,
    policy: SequencePolicy<Request>,
    known: Vec<Known>,
    /// Sequences that have not ended, by their ids.
    clients: BTreeMap<u64, Client>,
    busy: BTreeMap<InstanceIndex, (Instant, Vec<usize>)>,
    instances: BTreeSet<InstanceIndex>,
    leaving: BTreeSet<InstanceIndex>,
    instances_made: usize,
    wake_at: Option<Instant>,
    /// Where each sequence, by its start, runs: instance, and row with the direct strategy.
    places: BTreeMap<usize, (InstanceIndex, Option<usize>)>,
}

impl Batchable for Request {
    fn rows(&self) -> u64 {
        1
    }

    fn fits(&self, other: &Self) -> bool {
        self.shape == other.shape
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Sequenced for Request {
    type Memory = Option<usize>;

    fn flags(&self) -> Option<&SequenceFlags> {
        Some(&self.flags)
    }

    fn enter(&mut self, memory: &mut Option<usize>) {
        if self.flags.start {
            *memory = Some(self.id);
        }
        self.started_by = *memory;
    }

    fn padding(&self) -> Self {
        Self { is_padding: true, ..self.clone() }
    }

    fn fits_with(&self, _: &Option<usize>, other: &Self, _: &Option<usize>) -> bool {
        self.fits(other)
    }
}

// === impl World ===

impl World {
    fn new(seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let batch_rows_max = 1 + random.below(6);
        let delay_max = MICROSECOND * (random.below(3) * random.below(500)) as u32;
        let is_direct = random.chance(50);
        let direct = DirectSettings { delay_max, slot_utilization_min: random.below(5) as f32 / 4.0 };
        let preferred_rows = (1..=batch_rows_max).filter(|_| random.chance(25)).collect();
        let settings = SchedulerSettings {
            batch_rows_max,
            batching: (!is_direct).then_some(BatchingSettings { preferred_rows, delay_max }),
            queue: QueuePolicy { requests_max: 5 + random.below(60) as usize, ..QueuePolicy::default() }.into(),
            ..SchedulerSettings::unbatched()
        };
        let more_slots = if is_direct { 0 } else { random.below(6) };
        let sequences = SequenceSettings {
            model_name: "m".into(),
            strategy: if is_direct { SequenceStrategy::Direct(direct) } else { SequenceStrategy::Oldest },
            slots: (batch_rows_max + more_slots) as usize,
            idle_max: MICROSECOND * (200 + random.below(2_000)) as u32,
            tensors: Arc::default(),
        };
        let policy = SequencePolicy::new(settings.clone(), sequences.clone());
        let mut world = Self {
            random,
            now,
            settings,
            sequences,
            policy,
            known: vec![],
            clients: BTreeMap::new(),
            busy: BTreeMap::new(),
            instances: BTreeSet::new(),
            leaving: BTreeSet::new(),
            instances_made: 0,
            wake_at: None,
            places: BTreeMap::new(),
        };
        for _ in 0..1 + world.random.below(3) {
            world.add_instance();
        }
        world
    }

    fn is_direct(&self) -> bool {
        matches!(self.sequences.strategy, SequenceStrategy::Direct(_))
    }

    fn tell(&mut self, event: Event<Request>) {
        let actions = self.policy.on(self.now, event);
        self.apply(actions);
    }

    fn add_instance(&mut self) {
        let instance = self.instances_made;
        self.instances_made += 1;
        self.instances.insert(instance);
        self.tell(Event::InstanceAdded { instance, is_limited: false });
    }

    fn replace_an_instance(&mut self) {
        let staying: Vec<InstanceIndex> = self.instances.difference(&self.leaving).copied().collect();
        self.add_instance();
        let retired = staying[self.random.below(staying.len() as u64) as usize];
        self.leaving.insert(retired);
        self.tell(Event::InstanceRetired(retired));
    }

    /// A request of one of a few sequences; now and then one that should not come.
    fn arrive(&mut self) {
        let number = 1 + self.random.below(12);
        let id = SequenceId::Number(number);
        let live = self.clients.get(&number).is_some_and(|client| !self.has_lapsed(client));
        let start = if live { self.random.chance(5) } else { !self.random.chance(10) };
        let end = self.random.chance(20);
        let (request_id, shape) = (self.known.len(), u64::from(self.random.chance(20)));
        let flags = SequenceFlags { id: id.clone(), start, end };
        let cancelled = Arc::new(AtomicBool::new(false));
        let request = Request { id: request_id, flags, shape, cancelled, started_by: None, is_padding: false };
        let timeout = self.random.chance(10).then(|| MICROSECOND * (1 + self.random.below(800)) as u32);
        if start && !live {
            self.clients.remove(&number);
        }
        // A client that starts again goes on in the same slot.
        let client =
            self.clients.entry(number).or_insert(Client { id, start: request_id, requests: vec![], active: self.now });
        client.requests.push(request_id);
        let first = client.start;
        let deadline = timeout.map(|timeout| self.now + timeout);
        let fate = Fate::Waiting;
        self.known.push(Known { request: request.clone(), fate, arrived: self.now, start: first, deadline });
        if !live && !start {
            self.clients.remove(&number);
        }
        self.tell(Event::Arrive { item: request, wish: Wish { timeout, priority: 0 } });
        if end && self.known[request_id].fate != Fate::Refused {
            self.clients.remove(&number);
        }
    }

    /// Whether a sequence has been silent for so long that it has ended.
    fn has_lapsed(&self, client: &Client) -> bool {
        self.places.contains_key(&client.start)
            && client.requests.iter().all(|id| !matches!(self.known[*id].fate, Fate::Waiting | Fate::Running))
            && self.now >= client.active + self.sequences.idle_max
    }

    fn cancel_one(&mut self) {
        let waiting: Vec<usize> = self.with_fate(Fate::Waiting).map(|known| known.request.id).collect();
        if !waiting.is_empty() {
            let chosen = waiting[self.random.below(waiting.len() as u64) as usize];
            self.known[chosen].request.cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn pass_time(&mut self) {
        let next_end = self.busy.values().map(|(end, _)| *end).min();
        let idle_step = self.now + MICROSECOND * self.random.below(600) as u32;
        let due = next_end.into_iter().chain(self.wake_at).min().unwrap_or(idle_step);
        self.now = if self.random.chance(50) { due.max(self.now) } else { idle_step.min(due).max(self.now) };
        self.run_what_is_due();
    }

    fn run_what_is_due(&mut self) {
        while let Some(instance) = self.busy.iter().find(|(_, (end, _))| *end <= self.now).map(|(i, _)| *i) {
            let (_, ids) = self.busy.remove(&instance).unwrap();
            for id in ids {
                self.settle(id, Fate::Running, Fate::Executed);
                self.touch(id);
            }
            self.tell(Event::InstanceIdle(instance));
        }
        if self.wake_at.is_some_and(|at| at <= self.now) {
            self.tell(Event::Wake);
            assert!(self.wake_at.is_none_or(|at| at > self.now), "woken for a time that has passed");
        }
    }

    /// The sequence of a request is not silent now.
    fn touch(&mut self, id: usize) {
        let start = self.known[id].start;
        if let Some(client) = self.clients.values_mut().find(|client| client.start == start) {
            client.active = self.now;
        }
    }

    fn apply(&mut self, actions: Actions<Request>) {
        for (request, refusal) in actions.refused {
            self.check_refusal(request.id, refusal);
            self.settle(request.id, Fate::Waiting, Fate::Refused);
        }
        for request in actions.cancelled {
            let start = self.known[request.id].start;
            let whole = self.known.iter().filter(|known| known.start == start);
            assert!(whole.clone().any(|known| known.request.is_cancelled()), "cancelled without a reason");
            self.settle(request.id, Fate::Waiting, Fate::Cancelled);
            self.clients.retain(|_, client| client.start != start);
        }
        for run in actions.runs {
            self.check_run(&run);
            let end = self.now + MICROSECOND * (1 + self.random.below(400)) as u32;
            let requests = run.requests.iter().filter(|request| !request.is_padding);
            let ids: Vec<usize> = requests.map(|request| request.id).collect();
            for id in &ids {
                self.settle(*id, Fate::Waiting, Fate::Running);
            }
            assert!(self.instances.contains(&run.instance), "runs on an instance that is gone");
            assert!(self.busy.insert(run.instance, (end, ids)).is_none(), "an instance got two batches");
        }
        for instance in actions.gone {
            assert!(self.leaving.remove(&instance) && self.instances.remove(&instance), "gone without being asked to");
            assert!(!self.busy.contains_key(&instance), "gone while it works");
        }
        self.wake_at = actions.wake_at;
    }

    fn settle(&mut self, id: usize, from: Fate, to: Fate) {
        assert_eq!(self.known[id].fate, from, "request {id} cannot become {to:?}");
        self.known[id].fate = to;
    }

    fn with_fate(&self, fate: Fate) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(move |known| known.fate == fate)
    }
}

fn simulate(seed: u64, start: Instant) {
    let mut world = World::new(seed, start);
    for _ in 0..STEPS {
        match world.random.below(40) {
            0 => world.replace_an_instance(),
            1 => world.cancel_one(),
            2..=19 => world.arrive(),
            _ => world.pass_time(),
        }
        world.check_progress();
    }
    world.tell(Event::Drain);
    while !world.busy.is_empty() {
        world.now = world.busy.values().map(|(end, _)| *end).min().unwrap();
        world.run_what_is_due();
    }
    assert!(world.policy.is_drained(), "drained, and requests are left");
    assert_eq!(world.with_fate(Fate::Waiting).chain(world.with_fate(Fate::Running)).count(), 0, "a request was lost");
}

#[test]
fn every_seed_keeps_the_invariants_of_sequences() {
    for_every_seed(SEEDS, simulate);
}
