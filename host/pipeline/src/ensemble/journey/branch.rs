//! Branches: tensors that belong together, and the steps that still have to run on them.

use std::{collections::VecDeque, sync::Arc};

use nereid_inference::{InferResponse, NamedTensor, SequenceFlags};
use nereid_tensor::Tensor;

use super::{
    super::plan::{Plan, REQUEST_REGION, Step},
    sequence,
};

/// A branch by its number, which is never used again in the same journey.
pub(super) type BranchKey = u64;

/// The branches of one journey.
pub(super) struct Branches {
    /// In the order of their making. Few: the journey's limits bound them.
    branches: VecDeque<(BranchKey, Branch)>,
    next_key: BranchKey,
    /// How many there are of each region.
    live: Vec<usize>,
    /// Of all tensors that were made by steps.
    bytes: usize,
    /// Of the largest branch that has left, the request's own aside.
    largest_bytes: usize,
}

/// The tensors that one response of a decoupled step, or the request itself, leads to.
pub(super) struct Branch {
    pub(super) region: usize,
    pub(super) parent: Option<BranchKey>,
    tensors: Vec<Slot>,
    pub(super) steps: Vec<StepState>,
    /// Steps that are not done.
    unfinished: usize,
    /// Branches that came of this one and are there.
    children: usize,
    /// Those of them whose responses have not been given out, in their order.
    outgoing: VecDeque<BranchKey>,
    pub(super) is_sent: bool,
    /// The client's, until a step says otherwise in parameters of its response.
    pub(super) sequence: SequenceFlags,
    bytes: usize,
    /// Of these bytes, those that the journey has not counted.
    uncounted_bytes: usize,
}

#[derive(Clone)]
pub(super) enum Slot {
    /// Some step will make it.
    Expected,
    There(Tensor),
    /// An optional input that the client left out, or an output that a step did not give.
    Absent,
}

/// A step of the graph in one branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepState {
    Waiting,
    Running,
    /// Or never to run here: it belongs to another region, or nobody needs it.
    Done,
}

// === impl Branch ===

impl Branch {
    pub(super) fn new(plan: &Plan, needed: &[bool], region: usize, sequence: SequenceFlags) -> Self {
        let runs_here = |(step, needed): (&Step, &bool)| *needed && step.region == region;
        let state = |runs_here| if runs_here { StepState::Waiting } else { StepState::Done };
        let steps: Vec<StepState> = plan.steps.iter().zip(needed).map(runs_here).map(state).collect();
        Self {
            region,
            parent: None,
            tensors: vec![Slot::Expected; plan.tensor_regions.len()],
            unfinished: steps.iter().filter(|state| **state == StepState::Waiting).count(),
            steps,
            children: 0,
            outgoing: VecDeque::new(),
            is_sent: false,
            sequence,
            bytes: 0,
            uncounted_bytes: 0,
        }
    }

    /// Decides a tensor.
    pub(super) fn put(&mut self, tensor: usize, value: Option<Tensor>) {
        if let Some(slot) = self.tensors.get_mut(tensor) {
            *slot = value.map_or(Slot::Absent, Slot::There);
        }
    }

    /// Takes what a step answered.
    pub(super) fn fill(&mut self, step: &Step, mut response: InferResponse) {
        sequence::read(&mut self.sequence, &response.parameters);
        for (name, tensor) in &step.outputs {
            let position = response.outputs.iter().position(|output| output.name == *name);
            let value = position.map(|position| response.outputs.swap_remove(position).tensor);
            self.uncounted_bytes += value.as_ref().map_or(0, Tensor::byte_size);
            self.put(*tensor, value);
        }
    }

    pub(super) fn tensor(&self, tensor: usize) -> Option<&Tensor> {
        match self.tensors.get(tensor) {
            Some(Slot::There(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// Whether nothing of these tensors is still to come.
    pub(super) fn has_decided(&self, tensors: &[(Arc<str>, usize)]) -> bool {
        tensors.iter().all(|(_, tensor)| !matches!(self.tensors.get(*tensor), Some(Slot::Expected)))
    }

    pub(super) fn set_step(&mut self, step: usize, state: StepState) {
        if let Some(slot) = self.steps.get_mut(step) {
            *slot = state;
        }
    }

    pub(super) fn step_done(&mut self, step: usize) {
        if self.steps.get(step) == Some(&StepState::Running) {
            self.set_step(step, StepState::Done);
            self.unfinished -= 1;
        }
    }

    /// Whether no step is left here, nor in a branch that came of this one.
    pub(super) fn is_done(&self) -> bool {
        self.unfinished == 0 && self.children == 0
    }

    /// The response that this branch leads to. An output that no step gave is left out.
    pub(super) fn response(&self, outputs: &[(Arc<str>, usize)]) -> InferResponse {
        let present = outputs.iter().filter_map(|(name, tensor)| Some((name, self.tensor(*tensor)?)));
        let present = present.map(|(name, tensor)| NamedTensor::new(name.clone(), tensor.clone()));
        let mut response = InferResponse::new(present.collect());
        if !response.outputs.is_empty() {
            response.parameters = sequence::parameters(&self.sequence);
        }
        response
    }
}

// === impl Branches ===

impl Branches {
    /// The branch of the request itself, alone.
    pub(super) fn new(root: Branch, regions: usize) -> (Self, BranchKey) {
        let mut live = vec![0; regions];
        if let Some(live) = live.get_mut(REQUEST_REGION) {
            *live = 1;
        }
        (Self { branches: VecDeque::from([(0, root)]), next_key: 1, live, bytes: 0, largest_bytes: 0 }, 0)
    }

    /// Adds a branch to the one that it came from; with `is_output` it is to be given out.
    pub(super) fn add(&mut self, branch: Branch, is_output: bool) -> BranchKey {
        let key = self.next_key;
        self.next_key += 1;
        if let Some(live) = self.live.get_mut(branch.region) {
            *live += 1;
        }
        if let Some(parent) = branch.parent.and_then(|parent| self.get_mut(parent)) {
            parent.children += 1;
            if is_output {
                parent.outgoing.push_back(key);
            }
        }
        self.branches.push_back((key, branch));
        key
    }

    pub(super) fn remove(&mut self, key: BranchKey) {
        let Some((_, branch)) = self.position(key).and_then(|position| self.branches.remove(position)) else { return };
        if let Some(live) = self.live.get_mut(branch.region) {
            *live -= 1;
        }
        if let Some(parent) = branch.parent.and_then(|parent| self.get_mut(parent)) {
            parent.children -= 1;
        }
        self.bytes -= branch.bytes;
        self.largest_bytes = self.largest_bytes.max(branch.bytes);
    }

    pub(super) fn clear(&mut self) {
        self.branches.clear();
        self.live.fill(0);
        self.bytes = 0;
    }

    pub(super) fn get(&self, key: BranchKey) -> Option<&Branch> {
        self.branches.get(self.position(key)?).map(|(_, branch)| branch)
    }

    pub(super) fn get_mut(&mut self, key: BranchKey) -> Option<&mut Branch> {
        let position = self.position(key)?;
        self.branches.get_mut(position).map(|(_, branch)| branch)
    }

    /// Branches of a region.
    pub(super) fn live(&self, region: usize) -> usize {
        self.live.get(region).copied().unwrap_or(0)
    }

    /// Bytes that are held, and those that are to be expected: a branch may become as large as another was.
    pub(super) fn held_bytes(&self) -> usize {
        let opened = self.branches.len().saturating_sub(1);
        self.bytes.max(opened.saturating_mul(self.largest_bytes))
    }

    /// Counts what a branch has got.
    pub(super) fn count_bytes(&mut self, key: Option<BranchKey>) {
        let Some(branch) = key.and_then(|key| self.get_mut(key)) else { return };
        let bytes = std::mem::take(&mut branch.uncounted_bytes);
        branch.bytes += bytes;
        self.bytes += bytes;
    }

    /// The branch whose response is the next of those that came of `parent`.
    pub(super) fn first_outgoing(&self, parent: BranchKey) -> Option<BranchKey> {
        self.get(parent)?.outgoing.front().copied()
    }

    /// That response was given out.
    pub(super) fn outgoing_left(&mut self, parent: BranchKey) {
        if let Some(parent) = self.get_mut(parent) {
            parent.outgoing.pop_front();
        }
    }

    /// Keys ascend.
    fn position(&self, key: BranchKey) -> Option<usize> {
        self.branches.binary_search_by_key(&key, |(key, _)| *key).ok()
    }
}
