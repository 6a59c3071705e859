//! Seeded simulation of sequences: random clients over the real policy in virtual time. Clients start, go on, end, fall
//! silent, cancel, ask for timeouts and reuse ids; requests of iterative sequences are handed back; instances come and go.
//! What must hold is in [`checks`]. The simulation knows every sequence as its client does, and learns from the policy only
//! which seat one was given, which it then checks.

mod checks;

use std::{
    collections::{BTreeMap, VecDeque},
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
    policy::{Actions, Event, Place, Refusal},
    queue::Wish,
    simulation::{MICROSECOND, Play, Random, SEEDS, STEPS, Stage, for_every_seed},
};

/// Longest step of time in which nothing ends, in microseconds.
const STEP_US_MAX: u64 = 600;

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
    /// When it began to wait, for its next step if it has had one.
    arrived: Instant,
    /// In order of these, over all sequences.
    number: u64,
    sequence: SequenceKey,
}

/// A sequence is called by its first request.
type SequenceKey = usize;

/// A sequence that has not ended.
struct Live {
    id: SequenceId,
    /// Instance and slot.
    seat: Option<(InstanceIndex, SlotIndex)>,
    queue: VecDeque<usize>,
    running: Option<usize>,
    /// Until when it may wait for a seat.
    expires: Option<Instant>,
    silent_since: Option<Instant>,
    /// The last request with a START that ran.
    started_by: Option<usize>,
}

struct World {
    stage: Stage<SequencePolicy<Request>>,
    settings: SchedulerSettings,
    sequences: SequenceSettings,
    known: Vec<Known>,
    live: BTreeMap<SequenceKey, Live>,
    /// Sequences that more requests may come for.
    open: BTreeMap<u64, SequenceKey>,
    /// What the policy must say about the request that arrives.
    expected_refusal: Option<(usize, Refusal)>,
    expected_restart: Option<SequenceId>,
    next_number: u64,
    is_draining: bool,
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

impl Play for World {
    type Item = Request;
    type Policy = SequencePolicy<Request>;

    fn stage(&mut self) -> &mut Stage<SequencePolicy<Request>> {
        &mut self.stage
    }

    fn waiting_count(&self) -> usize {
        self.known.iter().filter(|known| known.fate == Fate::Waiting).count()
    }

    fn executed(&mut self, ids: &[usize]) -> Vec<Request> {
        ids.iter().filter_map(|id| self.executed_one(*id)).collect()
    }

    fn apply(&mut self, actions: Actions<Request>) {
        self.end_silent();
        self.check_actions(actions);
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
            iterative: random.chance(30),
            tensors: Arc::default(),
        };
        let policy = SequencePolicy::new(settings.clone(), sequences.clone());
        let instances = 1 + random.below(3);
        let mut world = Self {
            stage: Stage::new(random, now, policy),
            settings,
            sequences,
            known: vec![],
            live: BTreeMap::new(),
            open: BTreeMap::new(),
            expected_refusal: None,
            expected_restart: None,
            next_number: 0,
            is_draining: false,
        };
        (0..instances).for_each(|_| world.add_instance());
        world
    }

    /// A request of one of a few sequences; now and then one that should not come. The host makes ids of its own for most
    /// requests of iterative sequences.
    fn arrive(&mut self) {
        if self.live.values().any(|live| live.seat.is_none() && self.is_cancelled(live)) {
            // Silence that this request ends may give a seat to such a sequence, which ends it, before or after the request.
            self.run_what_is_due();
        }
        self.end_silent();
        let (id, is_iterative) = (self.known.len(), self.sequences.iterative);
        let random = &mut self.stage.random;
        let is_own = is_iterative && random.chance(80);
        let number = if is_own { 1_000 + id as u64 } else { 1 + random.below(12) };
        let sequence_id = match number % 3 {
            0 => SequenceId::Text(number.to_string()),
            _ => SequenceId::Number(number),
        };
        let before = self.open.get(&number).copied();
        let start = is_own || if before.is_some() { random.chance(5) } else { !random.chance(10) };
        let end = !is_iterative && random.chance(20);
        let timeout = random.chance(10).then(|| MICROSECOND * random.below(800) as u32);
        let shape = u64::from(random.chance(20));
        let flags = SequenceFlags { id: sequence_id, start, end };
        let request = Request { id, flags, shape, cancelled: Arc::default(), started_by: None, is_padding: false };
        self.expect(before, &request, number);
        self.note(before, &request, number, timeout);
        self.tell(Event::Arrive { item: request, wish: Wish { timeout, priority: 0 }, place: Place(0) });
    }

    /// What the policy must say about a request that arrives.
    fn expect(&mut self, before: Option<SequenceKey>, request: &Request, number: u64) {
        let refusal = if before.is_none() && !request.flags.start {
            Some(Refusal::NotStarted)
        } else if self.waiting_count() >= self.settings.queue.default.requests_max {
            Some(Refusal::QueueFull)
        } else {
            None
        };
        self.expected_refusal = refusal.map(|refusal| (request.id, refusal));
        self.expected_restart =
            (refusal.is_none() && before.is_some() && request.flags.start).then(|| request.flags.id.clone());
        assert_eq!(self.open.contains_key(&number), before.is_some());
    }

    /// The client's side of a request that arrives.
    fn note(&mut self, before: Option<SequenceKey>, request: &Request, number: u64, timeout: Option<Duration>) {
        let is_admitted = self.expected_refusal.is_none();
        let sequence = before.unwrap_or(request.id);
        let fate = if is_admitted { Fate::Waiting } else { Fate::Refused };
        let arrived = self.stage.now;
        self.known.push(Known { request: request.clone(), fate, arrived, number: self.next_number, sequence });
        if !is_admitted {
            return;
        }
        self.next_number += 1;
        let live = self.live.entry(sequence).or_insert_with(|| Live::new(request.flags.id.clone()));
        live.queue.push_back(request.id);
        live.silent_since = None;
        let asked = timeout.filter(|timeout| live.seat.is_none() && !timeout.is_zero());
        live.expires = live.expires.into_iter().chain(asked.map(|asked| arrived + asked)).min();
        match request.flags.end {
            true => drop(self.open.remove(&number)),
            false => drop(self.open.insert(number, sequence)),
        }
    }

    /// Somebody leaves who waits, or, which an iterative sequence notices, while a step is executed.
    fn cancel_one(&mut self) {
        let may_leave =
            |known: &&Known| known.fate == Fate::Waiting || (self.sequences.iterative && known.fate == Fate::Running);
        let there: Vec<usize> = self.known.iter().filter(may_leave).map(|known| known.request.id).collect();
        if !there.is_empty() {
            let chosen = there[self.stage.random.index(there.len())];
            self.known[chosen].request.cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn executed_one(&mut self, id: usize) -> Option<Request> {
        self.settle(id, Fate::Running, Fate::Executed);
        let key = self.known[id].sequence;
        // One whose END this was has ended already.
        let live = self.live.get_mut(&key).filter(|live| live.running == Some(id))?;
        live.running = None;
        if self.sequences.iterative && self.stage.random.chance(60) {
            live.queue.push_front(id);
            let known = &mut self.known[id];
            known.fate = Fate::Waiting;
            known.arrived = self.stage.now;
            known.number = self.next_number;
            known.request.flags.start = false;
            self.next_number += 1;
            return Some(known.request.clone());
        }
        if live.queue.is_empty() {
            live.silent_since = Some(self.stage.now);
            if self.sequences.iterative || self.is_draining {
                self.end(key);
            }
        }
        None
    }

    /// Silence that is over by now has ended its sequence.
    fn end_silent(&mut self) {
        let limit = self.sequences.idle_max;
        let is_over = |live: &Live| live.silent_since.is_some_and(|since| since + limit <= self.stage.now);
        let over: Vec<SequenceKey> = self.live.iter().filter(|(_, live)| is_over(live)).map(|(key, _)| *key).collect();
        over.into_iter().for_each(|key| drop(self.end(key)));
    }

    fn is_cancelled(&self, live: &Live) -> bool {
        live.queue.iter().any(|id| self.known[*id].request.is_cancelled())
    }

    fn end(&mut self, key: SequenceKey) -> Live {
        self.open.retain(|_, open| *open != key);
        self.live.remove(&key).expect("ended twice")
    }

    fn settle(&mut self, id: usize, from: Fate, to: Fate) {
        assert_eq!(self.known[id].fate, from, "request {id} cannot become {to:?}");
        self.known[id].fate = to;
    }

    /// No company will come, and silence is the end.
    fn expect_drain(&mut self) {
        self.is_draining = true;
        if let Some(batching) = &mut self.settings.batching {
            batching.delay_max = Duration::ZERO;
        }
        self.sequences.strategy.do_not_wait();
        let silent: Vec<SequenceKey> =
            self.live.iter().filter(|(_, live)| live.silent_since.is_some()).map(|(key, _)| *key).collect();
        silent.into_iter().for_each(|key| drop(self.end(key)));
    }
}

// === impl Live ===

impl Live {
    fn new(id: SequenceId) -> Self {
        Self {
            id,
            seat: None,
            queue: VecDeque::new(),
            running: None,
            expires: None,
            silent_since: None,
            started_by: None,
        }
    }
}

fn simulate(seed: u64, start: Instant) {
    let mut world = World::new(seed, start);
    for _ in 0..STEPS {
        match world.stage.random.below(40) {
            0 => world.replace_an_instance(),
            1 => world.cancel_one(),
            2..=19 => world.arrive(),
            _ => world.pass_time(STEP_US_MAX),
        }
    }
    world.expect_drain();
    world.drain();
    let lost = world.known.iter().find(|known| matches!(known.fate, Fate::Waiting | Fate::Running));
    assert!(lost.is_none() && world.live.is_empty(), "a request was lost");
}

#[test]
fn every_seed_keeps_the_invariants_of_sequences() {
    for_every_seed(SEEDS, simulate);
}
