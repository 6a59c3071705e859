//! The last generations of one model: when each was loaded, for whom, from what, and what became of it.

use std::{collections::VecDeque, time::SystemTime};

use nereid_inference::{GenerationRecord, GenerationState, LoadTimes};

use crate::swap::Origin;

/// A list that forgets its oldest.
#[derive(Debug)]
pub(crate) struct History {
    kept_max: usize,
    loads: u64,
    records: VecDeque<GenerationRecord>,
}

// === impl History ===

impl History {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self { kept_max, loads: 0, records: VecDeque::new() }
    }

    /// A load is over; returns its number.
    pub(crate) fn note(
        &mut self,
        (origin, at): (&Origin, SystemTime),
        versions: Vec<(u64, Option<String>)>,
        state: GenerationState,
    ) -> u64 {
        self.loads += 1;
        if self.records.len() >= self.kept_max {
            self.records.pop_front();
        }
        let number = self.loads;
        let Origin { requested_by, is_override, .. } = origin.clone();
        let times = LoadTimes::new();
        self.records.push_back(GenerationRecord { number, at, requested_by, is_override, versions, state, times });
        number
    }

    /// Loads so far.
    pub(crate) fn loads(&self) -> u64 {
        self.loads
    }

    /// How long the last load took.
    pub(crate) fn set_times(&mut self, times: LoadTimes) {
        if let Some(last) = self.records.back_mut() {
            last.times = times;
        }
    }

    /// Something has become of the generation of that number.
    pub(crate) fn set(&mut self, number: u64, state: GenerationState) {
        if let Some(record) = self.records.iter_mut().find(|record| record.number == number) {
            record.state = state;
        }
    }

    /// Oldest first.
    pub(crate) fn records(&self) -> Vec<GenerationRecord> {
        self.records.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_and_the_oldest_is_forgotten() {
        let mut history = History::new(2);
        for expected in 1..=3 {
            let made = (&Origin::poll(), SystemTime::UNIX_EPOCH);
            assert_eq!(history.note(made, vec![(1, None)], GenerationState::Serving), expected);
        }
        history.set(1, GenerationState::Retired);
        history.set(2, GenerationState::Retired);
        let states: Vec<_> = history.records().into_iter().map(|record| (record.number, record.state)).collect();
        assert_eq!(states, [(2, GenerationState::Retired), (3, GenerationState::Serving)]);
    }
}
