//! One request on its way through the graph, as a state machine: told what steps answered, it says what is to be done.
//!
//! Promises: every step that the request's outputs need runs once per branch, as soon as its inputs are decided; each
//! response of a decoupled step opens a branch, and the responses that come of one call of a decoupled step are given out in
//! the order in which that step gave them. A failure ends the journey, and after the end there is nothing to do.
//! Refuses to have more than [`Journey::may_read`] allows: a decoupled step is not read while its earlier responses are
//! still on their way.
//! Costs two lists as long as the graph per branch; tensors are shared, never copied.

mod branch;
mod sequence;

use std::{collections::VecDeque, sync::Arc};

use nereid_inference::{CallChain, CheckedRequest, InferError, InferRequest, InferResponse, NamedTensor};

use self::{
    branch::{Branch, BranchKey, Branches, StepState},
    sequence::NO_SEQUENCE,
};
use super::plan::{Plan, REQUEST_REGION, Step};

/// A step of one branch: one request to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    branch: BranchKey,
    pub(super) step: usize,
}

/// What has happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A member has answered; with the last answer, or none but the end, the call is over.
    Answered {
        call: Call,
        response: Option<InferResponse>,
        last: bool,
    },
    Failed {
        call: Call,
        error: InferError,
    },
    /// The client is gone.
    Cancelled,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Action {
    Start(Call, Box<InferRequest>),
    /// A response that others may follow.
    Send(InferResponse),
    /// The last response, the end without one, or the failure. Whatever still runs is to be left.
    Finish(Result<Option<InferResponse>, InferError>),
}

/// How much may be on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct JourneyLimits {
    /// Branches of one region: responses of a decoupled step that have not left, and thus calls of a step after it.
    pub(super) branches_max: usize,
}

/// The tensors that are there and the steps that are still to run.
pub(super) struct Journey<'a> {
    plan: &'a Plan,
    name: Arc<str>,
    request: InferRequest,
    callers: Arc<CallChain>,
    limits: JourneyLimits,
    needed: Vec<bool>,
    /// Names and tensors of the outputs asked for.
    outputs: Vec<(Arc<str>, usize)>,
    /// Where they are made.
    output_region: usize,
    branches: Branches,
    actions: VecDeque<Action>,
    is_over: bool,
}

// === impl Journey ===

impl<'a> Journey<'a> {
    /// # Errors
    /// The outputs asked for are made by different decoupled steps, so that no response could hold them together.
    pub(super) fn begin(
        plan: &'a Plan,
        name: &Arc<str>,
        request: CheckedRequest,
        limits: JourneyLimits,
    ) -> Result<Self, InferError> {
        let needed = plan.needed_steps(|output| request.wants(output));
        let outputs = plan.outputs.iter().filter(|(name, _)| request.wants(name)).cloned().collect::<Vec<_>>();
        let output_region = output_region(plan, name, &outputs)?;
        let mut root =
            Branch::new(plan, &needed, REQUEST_REGION, request.get().sequence.clone().unwrap_or(NO_SEQUENCE));
        for (input, tensor) in &plan.inputs {
            root.put(*tensor, request.input(input).cloned());
        }
        let request = request.into_inner();
        let callers = CallChain::extend(request.callers.clone(), name.clone());
        let (branches, root) = Branches::new(root, plan.region_count);
        let mut journey = Self {
            plan,
            name: name.clone(),
            request,
            callers,
            limits,
            needed,
            outputs,
            output_region,
            branches,
            actions: VecDeque::new(),
            is_over: false,
        };
        journey.advance(root);
        Ok(journey)
    }

    /// The next thing to do. All of it is to be done before the next event is told.
    pub(super) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether the next answer of a call may be taken: always, unless each opens a branch. When memory is short there is one
    /// branch at a time, so that every journey goes on.
    pub(super) fn may_read(&self, call: Call, memory_is_short: bool) -> bool {
        let Some(region) = self.plan.steps.get(call.step).and_then(|step| step.opens) else { return true };
        let branches_max = if memory_is_short { 1 } else { self.limits.branches_max };
        self.branches.live(region) < branches_max
    }

    /// Bytes of all tensors that steps have made and that are still held, and of those that are to be expected. One that
    /// is shared counts for each that holds it.
    pub(super) fn held_bytes(&self) -> usize {
        self.branches.held_bytes()
    }

    /// What follows stands in [`Journey::next_action`].
    pub(super) fn on(&mut self, event: Event) {
        if self.is_over {
            return;
        }
        match event {
            Event::Answered { call, response, last } => self.answered(call, response, last),
            Event::Failed { call, error } => {
                let model = self.plan.steps.get(call.step).map_or("", |step| &step.model);
                let prefix = format!("in ensemble '{}', step {} (model '{model}'): ", self.name, call.step);
                self.end(Err(error.prefixed(&prefix)));
            }
            Event::Cancelled => self.end(Err(InferError::cancelled("the client is gone"))),
        }
    }

    fn answered(&mut self, call: Call, response: Option<InferResponse>, last: bool) {
        let Some(step) = self.plan.steps.get(call.step) else { return };
        let grown = response.and_then(|response| match step.opens {
            Some(region) => self.open(call, region, step, response),
            None => self.branches.get_mut(call.branch).map(|branch| {
                branch.fill(step, response);
                call.branch
            }),
        });
        if last && let Some(branch) = self.branches.get_mut(call.branch) {
            branch.step_done(call.step);
        }
        self.branches.count_bytes(grown);
        if let Some(branch) = grown {
            self.advance(branch);
        }
        if last {
            self.close_if_done(call.branch);
        }
    }

    /// Opens a branch for a response of a decoupled step.
    fn open(&mut self, call: Call, region: usize, step: &Step, response: InferResponse) -> Option<BranchKey> {
        let is_output = region == self.output_region;
        let parent = self.branches.get_mut(call.branch)?;
        let mut branch = Branch::new(self.plan, &self.needed, region, parent.sequence.clone());
        branch.parent = Some(call.branch);
        branch.fill(step, response);
        Some(self.branches.add(branch, is_output))
    }

    /// Starts what can start in a branch, and gives out what is complete.
    fn advance(&mut self, key: BranchKey) {
        for (index, step) in self.plan.steps.iter().enumerate() {
            let Some(branch) = self.branches.get_mut(key) else { return };
            if branch.steps.get(index) == Some(&StepState::Waiting) && branch.has_decided(&step.inputs) {
                branch.set_step(index, StepState::Running);
                if let Some(request) = self.step_request(key, step) {
                    self.actions.push_back(Action::Start(Call { branch: key, step: index }, Box::new(request)));
                }
            }
        }
        let Some(branch) = self.branches.get(key) else { return };
        if branch.region == self.output_region {
            self.give_out(branch.parent);
        }
        self.close_if_done(key);
    }

    /// The request to a step; parameters and priority are passed through.
    fn step_request(&self, branch: BranchKey, step: &Step) -> Option<InferRequest> {
        let branch = self.branches.get(branch)?;
        let inputs = step.inputs.iter().filter_map(|(name, tensor)| Some((name, branch.tensor(*tensor)?)));
        Some(InferRequest {
            id: self.request.id.clone(),
            requested_outputs: step.outputs.iter().map(|(name, _)| name.clone()).collect(),
            parameters: self.request.parameters.clone(),
            priority: self.request.priority,
            timeout: self.request.timeout,
            sequence: (branch.sequence != NO_SEQUENCE).then(|| branch.sequence.clone()),
            callers: Some(self.callers.clone()),
            tenant: self.request.tenant.clone(),
            trace: self.request.trace.as_ref().map(|trace| trace.child()),
            ..InferRequest::new(inputs.map(|(name, tensor)| NamedTensor::new(name.clone(), tensor.clone())).collect())
        })
    }

    /// Gives out the responses of one call of a decoupled step, as far as they are complete in their order. The request's
    /// own branch has no parent; its response goes with the end.
    fn give_out(&mut self, parent: Option<BranchKey>) {
        while let Some(first) = parent.and_then(|parent| self.branches.first_outgoing(parent)) {
            let Some(branch) = self.branches.get_mut(first).filter(|branch| branch.has_decided(&self.outputs)) else {
                return;
            };
            branch.is_sent = true;
            let response = branch.response(&self.outputs);
            self.actions.push_back(Action::Send(response));
            if let Some(parent) = parent {
                self.branches.outgoing_left(parent);
            }
            self.close_if_done(first);
        }
    }

    /// Takes a branch away once nothing is left to do in it; then perhaps the one that it came from.
    fn close_if_done(&mut self, key: BranchKey) {
        let mut next = Some(key);
        while let Some(key) = next {
            let Some(branch) = self.branches.get(key) else { return };
            let is_response = branch.region == self.output_region;
            if !branch.is_done() || (is_response && branch.parent.is_some() && !branch.is_sent) {
                return;
            }
            next = branch.parent;
            if next.is_none() {
                let response = is_response.then(|| branch.response(&self.outputs));
                return self.end(Ok(response));
            }
            self.branches.remove(key);
        }
    }

    fn end(&mut self, result: Result<Option<InferResponse>, InferError>) {
        if result.is_err() {
            self.actions.clear();
        }
        self.is_over = true;
        self.branches.clear();
        self.actions.push_back(Action::Finish(result));
    }
}

/// The region of all outputs that are asked for.
fn output_region(plan: &Plan, ensemble: &str, outputs: &[(Arc<str>, usize)]) -> Result<usize, InferError> {
    let region = |tensor: usize| plan.tensor_regions.get(tensor).copied().unwrap_or(REQUEST_REGION);
    let Some(((first, tensor), others)) = outputs.split_first() else { return Ok(REQUEST_REGION) };
    match others.iter().find(|(_, other)| region(*other) != region(*tensor)) {
        None => Ok(region(*tensor)),
        Some((other, _)) => Err(InferError::invalid_argument(format!(
            "in ensemble '{ensemble}', outputs '{first}' and '{other}' originate from different decoupled models and \
             cannot be in one response; ask for each in a request of its own"
        ))),
    }
}

#[cfg(test)]
mod simulation;
