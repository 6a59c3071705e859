//! The slots of one instance, and the requests that wait in them.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

use nereid_inference::SequenceId;

use super::Sequenced;
use crate::batching::Batchable;

/// Index of a slot within its instance; with the direct strategy also the row of the batch.
pub(crate) type SlotIndex = usize;

/// One instance.
pub(super) struct Bench<T: Sequenced> {
    pub(super) slots: Vec<Slot<T>>,
    /// Slots with requests, by the number of the first of them: oldest first.
    ready: BTreeSet<(u64, SlotIndex)>,
    /// Slots of which a request is in the execution under way.
    running: Vec<SlotIndex>,
    /// How many slots have a sequence.
    taken: usize,
    pub(super) busy: bool,
    /// Whether it may execute.
    pub(super) permit: Permit,
    /// It gets no new sequences.
    pub(super) leaving: bool,
    /// When it wants to be asked again.
    pub(super) due: Option<Instant>,
}

/// What an instance has of the limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// It is not limited.
    NotNeeded,
    Absent,
    Asked,
    /// For one execution, and until that ends.
    Held,
}

/// A place for one sequence.
pub(super) enum Slot<T: Sequenced> {
    Free,
    Taken(Sequence<T>),
}

/// A sequence, with the requests of it that wait.
pub(super) struct Sequence<T: Sequenced> {
    pub(super) id: SequenceId,
    pub(super) queue: VecDeque<Queued<T>>,
    memory: T::Memory,
    running: bool,
    /// Its END has not come: more requests may follow.
    pub(super) open: bool,
    /// Nothing of it waits or runs, and this is how long that may last.
    pub(super) silent_until: Option<Instant>,
}

/// A request that waits for its turn in a sequence.
#[derive(Debug)]
pub(super) struct Queued<T> {
    pub(super) item: T,
    pub(super) arrived: Instant,
    /// In order of arrival over all sequences.
    pub(super) number: u64,
    pub(super) end: bool,
}

/// The next request of a sequence.
pub(super) struct Candidate<'a, T: Sequenced> {
    pub(super) slot: SlotIndex,
    pub(super) queued: &'a Queued<T>,
    memory: &'a T::Memory,
}

// === impl Bench ===

impl<T: Sequenced> Bench<T> {
    pub(super) fn new(slots: usize, permit: Permit) -> Self {
        Self {
            slots: (0..slots).map(|_| Slot::Free).collect(),
            ready: BTreeSet::new(),
            running: Vec::new(),
            taken: 0,
            busy: false,
            permit,
            leaving: false,
            due: None,
        }
    }

    /// There is nothing to execute now; whether that gives anything up.
    pub(super) fn let_go(&mut self) -> bool {
        let gives_up = matches!(self.permit, Permit::Asked | Permit::Held);
        if gives_up {
            self.permit = Permit::Absent;
        }
        gives_up
    }

    /// Whether no slot has a sequence.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// The first request of every slot that has one, oldest first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate<'_, T>> {
        self.ready.iter().filter_map(|(_, slot)| {
            let Sequence { queue, memory, .. } = self.slots.get(*slot)?.sequence()?;
            Some(Candidate { slot: *slot, queued: queue.front()?, memory })
        })
    }

    pub(super) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    fn head(&self, slot: SlotIndex) -> Option<&Queued<T>> {
        self.slots.get(slot)?.sequence()?.queue.front()
    }

    /// Appends a request to the sequence of a slot; returns the silence that it ends.
    pub(super) fn push(&mut self, slot: SlotIndex, queued: Queued<T>) -> Option<Instant> {
        let sequence = self.slots.get_mut(slot).and_then(Slot::sequence_mut)?;
        if sequence.queue.is_empty() {
            self.ready.insert((queued.number, slot));
        }
        sequence.open = !queued.end;
        sequence.queue.push_back(queued);
        sequence.silent_until.take()
    }

    /// Puts a request before those of its sequence that wait.
    pub(super) fn push_front(&mut self, slot: SlotIndex, queued: Queued<T>) {
        let Some(sequence) = self.slots.get_mut(slot).and_then(Slot::sequence_mut) else { return };
        if let Some(first) = sequence.queue.front() {
            self.ready.remove(&(first.number, slot));
        }
        self.ready.insert((queued.number, slot));
        sequence.queue.push_front(queued);
    }

    /// Gives a free slot to a sequence that may have requests already.
    pub(super) fn seat(&mut self, slot: SlotIndex, sequence: Sequence<T>) {
        self.ready.extend(sequence.queue.front().map(|first| (first.number, slot)));
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Slot::Taken(sequence);
            self.taken += 1;
        }
    }

    /// Takes the sequence of a slot out.
    pub(super) fn clear(&mut self, slot: SlotIndex) -> Option<Sequence<T>> {
        let place = self.slots.get_mut(slot)?;
        let Slot::Taken(sequence) = std::mem::replace(place, Slot::Free) else { return None };
        self.taken -= 1;
        if let Some(first) = sequence.queue.front() {
            self.ready.remove(&(first.number, slot));
        }
        Some(sequence)
    }

    /// The first of these slots whose next request nobody waits for.
    pub(super) fn first_cancelled(&self, rows: &[Option<SlotIndex>]) -> Option<SlotIndex> {
        rows.iter().flatten().copied().find(|slot| self.head(*slot).is_some_and(|queued| queued.item.is_cancelled()))
    }

    /// Takes the next request of every slot named, with padding where none is; also says whose sequences end with it.
    pub(super) fn take(&mut self, rows: &[Option<SlotIndex>]) -> (Vec<T>, Vec<SlotIndex>) {
        self.busy = true;
        let mut ended = Vec::new();
        let taken: Vec<Option<T>> = rows.iter().map(|row| self.take_one((*row)?, &mut ended)).collect();
        let padding = || taken.iter().flatten().next().map(T::padding);
        let padding: Vec<Option<T>> = taken.iter().map(|row| if row.is_none() { padding() } else { None }).collect();
        (taken.into_iter().zip(padding).filter_map(|(request, padding)| request.or(padding)).collect(), ended)
    }

    fn take_one(&mut self, slot: SlotIndex, ended: &mut Vec<SlotIndex>) -> Option<T> {
        let sequence = self.slots.get_mut(slot)?.sequence_mut()?;
        let mut queued = sequence.queue.pop_front()?;
        self.ready.remove(&(queued.number, slot));
        self.ready.extend(sequence.queue.front().map(|next| (next.number, slot)));
        sequence.running = true;
        self.running.push(slot);
        queued.item.enter(&mut sequence.memory);
        if queued.end {
            self.clear(slot);
            ended.push(slot);
        }
        Some(queued.item)
    }

    /// The execution is over; returns the slots whose sequences are silent now.
    pub(super) fn finished(&mut self) -> Vec<SlotIndex> {
        self.busy = false;
        if self.permit == Permit::Held {
            self.permit = Permit::Absent;
        }
        let mut running = std::mem::take(&mut self.running);
        running.retain(|slot| {
            // Another sequence may have the slot by now, of which nothing ran.
            let sequence = self.slots.get_mut(*slot).and_then(Slot::sequence_mut);
            sequence.is_some_and(|sequence| std::mem::take(&mut sequence.running) && sequence.queue.is_empty())
        });
        running
    }
}

// === impl Candidate ===

impl<T: Sequenced> Batchable for Candidate<'_, T> {
    fn rows(&self) -> u64 {
        self.queued.item.rows()
    }

    fn fits(&self, other: &Self) -> bool {
        self.queued.item.fits_with(self.memory, &other.queued.item, other.memory)
    }

    fn has_inputs_of(&self, other: &Self) -> bool {
        self.queued.item.has_inputs_of(&other.queued.item)
    }

    fn is_cancelled(&self) -> bool {
        self.queued.item.is_cancelled()
    }
}

// === impl Slot ===

impl<T: Sequenced> Slot<T> {
    pub(super) fn sequence(&self) -> Option<&Sequence<T>> {
        match self {
            Self::Taken(sequence) => Some(sequence),
            Self::Free => None,
        }
    }

    pub(super) fn sequence_mut(&mut self) -> Option<&mut Sequence<T>> {
        match self {
            Self::Taken(sequence) => Some(sequence),
            Self::Free => None,
        }
    }
}

// === impl Sequence ===

impl<T: Sequenced> Sequence<T> {
    pub(super) fn new(id: SequenceId) -> Self {
        Self {
            id,
            queue: VecDeque::new(),
            memory: T::Memory::default(),
            running: false,
            open: true,
            silent_until: None,
        }
    }
}
