//! One request on its way through the graph.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use nereid_inference::{
    CallChain, CheckedRequest, InferError, InferRequest, InferResponse, NamedTensor, ParameterValue, Parameters,
    SequenceFlags, SequenceId, ServiceHandle,
};
use nereid_tensor::Tensor;

use super::plan::{Plan, Step};

const SEQUENCE_ID: &str = "sequence_id";
const SEQUENCE_START: &str = "sequence_start";
const SEQUENCE_END: &str = "sequence_end";

/// What a request without a sequence says of it.
const NO_SEQUENCE: SequenceFlags = SequenceFlags { id: SequenceId::Number(0), start: false, end: false };

/// Runs the steps that the request's outputs need, each as soon as its inputs are there.
///
/// Dropping the future cancels the steps that run.
///
/// # Errors
/// The first failure of a step, with the ensemble and the step named in front.
pub(super) async fn run(
    plan: &Plan,
    name: &Arc<str>,
    service: &ServiceHandle,
    request: CheckedRequest,
) -> Result<InferResponse, InferError> {
    let mut journey = Journey::begin(plan, name, request);
    let mut running = FuturesUnordered::new();
    loop {
        for index in journey.startable() {
            let Some(step) = plan.steps.get(index) else { continue };
            let request = journey.step_request(step);
            running.push(async move { (index, call(step, service, request).await) });
        }
        let Some((index, result)) = running.next().await else { return Ok(journey.response()) };
        let Some(step) = plan.steps.get(index) else { continue };
        let response = result.map_err(|error| error.prefixed(&step_prefix(name, index, step)))?;
        journey.arrive(step, response);
    }
}

/// The text in front of a step's error.
fn step_prefix(ensemble: &str, index: usize, step: &Step) -> String {
    format!("in ensemble '{ensemble}', step {index} (model '{}'): ", step.model)
}

async fn call(step: &Step, service: &ServiceHandle, request: InferRequest) -> Result<InferResponse, InferError> {
    service.get()?.model(&step.model, step.version)?.infer(request).single().await
}

/// The tensors that are there and the steps that are still to run.
struct Journey<'a> {
    plan: &'a Plan,
    request: InferRequest,
    callers: Arc<CallChain>,
    tensors: Vec<Slot>,
    to_start: Vec<bool>,
    /// The client's, until a step says otherwise in parameters of its response.
    sequence: SequenceFlags,
}

#[derive(Clone)]
enum Slot {
    /// Some step will make it.
    Expected,
    There(Tensor),
    /// An optional input that the client left out, or an output that a step did not give.
    Absent,
}

// === impl Journey ===

impl<'a> Journey<'a> {
    fn begin(plan: &'a Plan, name: &Arc<str>, request: CheckedRequest) -> Self {
        let mut tensors = vec![Slot::Expected; plan.tensor_count];
        for (input, index) in &plan.inputs {
            if let Some(slot) = tensors.get_mut(*index) {
                *slot = request.input(input).cloned().map_or(Slot::Absent, Slot::There);
            }
        }
        let to_start = plan.needed_steps(|output| request.wants(output));
        let request = request.into_inner();
        let callers = CallChain::extend(request.callers.clone(), name.clone());
        let sequence = request.sequence.clone().unwrap_or(NO_SEQUENCE);
        Self { plan, request, callers, tensors, to_start, sequence }
    }

    /// Takes the steps whose inputs are all decided off the list.
    fn startable(&mut self) -> Vec<usize> {
        let decided = |index: &usize| !matches!(self.tensors.get(*index), Some(Slot::Expected));
        let ready = |step: &Step| step.inputs.iter().all(|(_, tensor)| decided(tensor));
        let steps = self.plan.steps.iter().enumerate();
        let startable = steps.filter(|(index, step)| self.to_start.get(*index) == Some(&true) && ready(step));
        let startable: Vec<usize> = startable.map(|(index, _)| index).collect();
        for index in &startable {
            if let Some(to_start) = self.to_start.get_mut(*index) {
                *to_start = false;
            }
        }
        startable
    }

    /// The request to a step; parameters, priority and sequence flags are passed through.
    fn step_request(&self, step: &Step) -> InferRequest {
        let there = |index: &usize| match self.tensors.get(*index) {
            Some(Slot::There(tensor)) => Some(tensor.clone()),
            _ => None,
        };
        let inputs = step.inputs.iter().filter_map(|(name, tensor)| Some((name, there(tensor)?)));
        InferRequest {
            id: self.request.id.clone(),
            requested_outputs: step.outputs.iter().map(|(name, _)| name.clone()).collect(),
            parameters: self.request.parameters.clone(),
            priority: self.request.priority,
            timeout: self.request.timeout,
            sequence: (self.sequence != NO_SEQUENCE).then(|| self.sequence.clone()),
            callers: Some(self.callers.clone()),
            trace: self.request.trace.as_ref().map(|trace| trace.child()),
            ..InferRequest::new(inputs.map(|(name, tensor)| NamedTensor::new(name.clone(), tensor)).collect())
        }
    }

    fn arrive(&mut self, step: &Step, mut response: InferResponse) {
        self.read_sequence(&response.parameters);
        for (name, index) in &step.outputs {
            let position = response.outputs.iter().position(|output| output.name == *name);
            let tensor = position.map(|position| response.outputs.swap_remove(position).tensor);
            if let Some(slot) = self.tensors.get_mut(*index) {
                *slot = tensor.map_or(Slot::Absent, Slot::There);
            }
        }
    }

    /// A step may move the steps after it to another sequence, or to another place in it.
    fn read_sequence(&mut self, parameters: &Parameters) {
        match parameters.get(SEQUENCE_ID) {
            Some(ParameterValue::Int(id)) => self.sequence.id = SequenceId::Number(id.cast_unsigned()),
            Some(ParameterValue::Uint(id)) => self.sequence.id = SequenceId::Number(*id),
            Some(ParameterValue::String(id)) => self.sequence.id = SequenceId::Text(id.clone()),
            _ => {}
        }
        if let Some(ParameterValue::Bool(start)) = parameters.get(SEQUENCE_START) {
            self.sequence.start = *start;
        }
        if let Some(ParameterValue::Bool(end)) = parameters.get(SEQUENCE_END) {
            self.sequence.end = *end;
        }
    }

    /// What Triton's ensembles say of the sequence in every response with outputs, even where there is none.
    fn sequence_parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        let id = match &self.sequence.id {
            SequenceId::Number(id) => ParameterValue::Int(id.cast_signed()),
            SequenceId::Text(id) => ParameterValue::String(id.clone()),
        };
        parameters.insert(SEQUENCE_ID, id);
        parameters.insert(SEQUENCE_START, ParameterValue::Bool(self.sequence.start));
        parameters.insert(SEQUENCE_END, ParameterValue::Bool(self.sequence.end));
        parameters
    }

    /// An output that no step gave is left out.
    fn response(&self) -> InferResponse {
        let requested = &self.request.requested_outputs;
        let wanted = |name: &Arc<str>| requested.is_empty() || requested.contains(name);
        let outputs = self.plan.outputs.iter().filter(|(name, _)| wanted(name));
        let present = outputs.filter_map(|(name, index)| match self.tensors.get(*index) {
            Some(Slot::There(tensor)) => Some(NamedTensor::new(name.clone(), tensor.clone())),
            _ => None,
        });
        let mut response = InferResponse::new(present.collect());
        if !response.outputs.is_empty() {
            response.parameters = self.sequence_parameters();
        }
        response
    }
}
