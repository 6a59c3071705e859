//! What a journey must hold, counted by somebody who only sees what goes in and what comes out: the answers of steps, and
//! the responses that leave.

use std::collections::BTreeMap;

use nereid_inference::InferResponse;

use super::{super::BranchKey, Call, Reading, Row, value_of};

/// The branches that must be there.
pub(super) struct Held<'a> {
    reading: &'a Reading<'a>,
    /// By their numbers, which are those of the journey: branches are numbered as they are opened, from the request's, 0.
    branches: BTreeMap<BranchKey, Branch>,
    opened: BranchKey,
    /// Of those that have gone, the largest.
    largest_bytes: usize,
}

struct Branch {
    region: usize,
    parent: Option<BranchKey>,
    bytes: usize,
    /// Steps that have not ended.
    steps: usize,
    /// By which its response is known; `None` when it has none, or none that is to come.
    response: Option<u64>,
}

// === impl Held ===

impl<'a> Held<'a> {
    pub(super) fn new(reading: &'a Reading<'a>, region: usize) -> Self {
        let root = Branch { region, parent: None, bytes: 0, steps: reading.steps_in(region), response: None };
        Self { reading, branches: BTreeMap::from([(0, root)]), opened: 0, largest_bytes: 0 }
    }

    /// A step has answered.
    pub(super) fn answered(&mut self, call: Call, response: Option<&InferResponse>, last: bool) {
        let bytes = |response: &InferResponse| response.outputs.iter().map(|output| output.tensor.byte_size()).sum();
        let bytes: usize = response.map_or(0, bytes);
        let opens = self.reading.plan.steps[call.step].opens;
        let branch = self.branches.get_mut(&call.branch).expect("a step of a branch that is there");
        branch.steps -= usize::from(last);
        match (opens, response) {
            (None, _) => branch.bytes += bytes,
            (Some(region), Some(response)) => self.open(call.branch, region, bytes, response),
            (Some(_), None) => {}
        }
        self.settle();
    }

    fn open(&mut self, parent: BranchKey, region: usize, bytes: usize, response: &InferResponse) {
        let first = response.outputs.first().map(|output| value_of(&output.tensor));
        let response = first.filter(|_| region == self.reading.output_region);
        let steps = self.reading.steps_in(region);
        self.opened += 1;
        self.branches.insert(self.opened, Branch { region, parent: Some(parent), bytes, steps, response });
    }

    /// A response has left.
    pub(super) fn sent(&mut self, row: &Row) {
        let is_meant =
            |branch: &&mut Branch| branch.response.is_some_and(|first| row.values().any(|value| *value == first));
        let branch = self.branches.values_mut().find(is_meant).expect("the response of a branch that is there");
        branch.response = None;
        self.settle();
    }

    /// A branch goes when its steps have ended, its response has left, and all have gone that came of it.
    fn settle(&mut self) {
        while let Some(branch) = self.first_over().and_then(|key| self.branches.remove(&key)) {
            self.largest_bytes = self.largest_bytes.max(branch.bytes);
        }
    }

    fn first_over(&self) -> Option<BranchKey> {
        let has_children = |key: BranchKey| self.branches.values().any(|branch| branch.parent == Some(key));
        let is_over = |(key, branch): &(&BranchKey, &Branch)| {
            branch.parent.is_some() && branch.steps == 0 && branch.response.is_none() && !has_children(**key)
        };
        self.branches.iter().find(is_over).map(|(key, _)| *key)
    }

    /// Bytes that are held, or as many as there would be if every branch grew as large as the largest so far.
    pub(super) fn bytes(&self) -> usize {
        let bytes = self.branches.values().map(|branch| branch.bytes).sum::<usize>();
        bytes.max((self.branches.len() - 1) * self.largest_bytes)
    }

    /// The branches of the region that has most, the request's own aside.
    pub(super) fn branches_of_a_region(&self) -> usize {
        let region = |region: usize| self.branches.values().filter(|branch| branch.region == region).count();
        (1..self.reading.plan.region_count).map(region).max().unwrap_or(0)
    }
}
