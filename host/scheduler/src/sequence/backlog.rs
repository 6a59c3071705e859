//! Sequences that wait for a slot, in order of their first requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use nereid_inference::SequenceId;

use super::{
    Sequenced,
    bench::{Queued, Sequence},
};

/// Sequences by number, oldest first.
pub(super) struct Backlog<T: Sequenced> {
    sequences: BTreeMap<u64, Entry<T>>,
    deadlines: BTreeSet<(Instant, u64)>,
}

struct Entry<T: Sequenced> {
    sequence: Sequence<T>,
    /// The earliest that one of its requests asked for.
    deadline: Option<Instant>,
}

// === impl Backlog ===

impl<T: Sequenced> Backlog<T> {
    /// A new sequence waits; returns its number.
    pub(super) fn open(&mut self, id: SequenceId, first: Queued<T>, timeout: Option<Duration>) -> u64 {
        let number = first.number;
        self.sequences.insert(number, Entry { sequence: Sequence::new(id), deadline: None });
        self.push(number, first, timeout);
        number
    }

    /// A sequence that waits gets another request; the shortest time that its requests ask for counts for all of them.
    pub(super) fn push(&mut self, number: u64, queued: Queued<T>, timeout: Option<Duration>) {
        let Some(entry) = self.sequences.get_mut(&number) else { return };
        let asked =
            timeout.filter(|timeout| !timeout.is_zero()).and_then(|timeout| queued.arrived.checked_add(timeout));
        entry.sequence.open = !queued.end;
        entry.sequence.queue.push_back(queued);
        let Some(asked) = asked else { return };
        let before = entry.deadline;
        let deadline = before.map_or(asked, |before| before.min(asked));
        entry.deadline = Some(deadline);
        if let Some(before) = before {
            self.deadlines.remove(&(before, number));
        }
        self.deadlines.insert((deadline, number));
    }

    /// Takes the oldest sequence.
    pub(super) fn take_next(&mut self) -> Option<Sequence<T>> {
        let (number, entry) = self.sequences.pop_first()?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, number));
        }
        Some(entry.sequence)
    }

    /// Takes the sequences whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Sequence<T>> {
        let mut expired = Vec::new();
        while let Some((_, number)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.pop_first();
            expired.extend(self.sequences.remove(&number).map(|entry| entry.sequence));
        }
        expired
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

impl<T: Sequenced> Default for Backlog<T> {
    fn default() -> Self {
        Self { sequences: BTreeMap::new(), deadlines: BTreeSet::new() }
    }
}
