//! Seeded simulation: random graphs with decoupled steps, random numbers of responses, answers in random order,
//! failures and cancellations, over the real journey.
//!
//! A second, naive reading of the graph says which steps must run how often, and which responses must come. Checked after
//! every event: each of them comes once and in the order of its stream, a missing output is left out, no step runs that
//! nobody needs or has more calls than it may, each is given the request's parameters, what is held is counted to the byte, somebody can always go on, and after an
//! end, a failure or a cancellation nothing happens. A failure prints its seed; `NEREID_SEED=n` replays it.

mod held;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use nereid_inference::{ParameterValue, SequenceFlags, SequenceId, Signature, TensorSpec};
use nereid_seeds::{Random, for_every_seed};
use nereid_tensor::{DataType, Tensor};

use self::held::Held;
use super::{super::regions, *};

const SEEDS: u64 = 1_000;

/// What tensors hold: a digest of everything that led to them. `None` is one that a step did not give.
type Values = BTreeMap<usize, Option<u64>>;

/// A response: its outputs by name.
type Row = BTreeMap<String, u64>;

/// A call that has not ended.
struct Running {
    call: Call,
    answers: VecDeque<(Option<InferResponse>, bool)>,
}

// === Graphs ===

/// A graph whose steps take tensors of one region each, and outputs of one region.
fn random_plan(random: &mut Random) -> Plan {
    let inputs = 1 + random.below(2) as usize;
    let mut regions: Vec<Vec<usize>> = vec![(0..inputs).collect()];
    let mut tensors = inputs;
    let mut steps = Vec::new();
    for _ in 0..=random.below(6) {
        let region = random.below(regions.len() as u64) as usize;
        let taken: BTreeSet<usize> = (0..=random.below(2)).map(|_| pick(random, &regions[region])).collect();
        let is_decoupled = random.chance(40) && regions.len() < 4;
        let made: Vec<usize> = (tensors..=tensors + random.below(2) as usize).collect();
        tensors += made.len();
        match is_decoupled {
            true => regions.push(made.clone()),
            false => regions[region].extend(&made),
        }
        steps.push(Step {
            model: format!("m{}", steps.len()),
            version: None,
            inputs: taken.iter().map(|tensor| (name(*tensor), *tensor)).collect(),
            outputs: made.iter().map(|tensor| (name(*tensor), *tensor)).collect(),
            is_decoupled,
            region: REQUEST_REGION,
            opens: None,
        });
    }
    let region = random.below(regions.len() as u64) as usize;
    let mut outputs: BTreeSet<usize> = (0..random.below(4)).map(|_| pick(random, &regions[region])).collect();
    // Always given, and different in every branch, so that responses can be told apart.
    outputs.insert(regions[region][0]);
    let mut plan = Plan {
        inputs: (0..inputs).map(|tensor| (name(tensor), tensor)).collect(),
        outputs: outputs.iter().map(|tensor| (name(*tensor), *tensor)).collect(),
        steps,
        tensor_regions: vec![REQUEST_REGION; tensors],
        region_count: REQUEST_REGION + 1,
    };
    regions::assign(&mut plan, "e").unwrap();
    plan
}

fn pick(random: &mut Random, from: &[usize]) -> usize {
    from[random.below(from.len() as u64) as usize]
}

fn name(tensor: usize) -> Arc<str> {
    format!("t{tensor}").into()
}

fn request(plan: &Plan, left_out: Option<usize>, wanted: &[(Arc<str>, usize)]) -> CheckedRequest {
    let spec = |(name, _): &(Arc<str>, usize)| TensorSpec {
        name: name.clone(),
        data_type: DataType::Uint64,
        dims: vec![1],
        optional: true,
    };
    let inputs = plan.inputs.iter().map(spec).collect();
    let outputs = plan.outputs.iter().map(spec).collect();
    let signature = Signature { model_name: "e".into(), inputs, outputs, max_batch_size: 0 };
    let sent = plan.inputs.iter().filter(|(_, tensor)| Some(*tensor) != left_out);
    let sent = sent.map(|(name, tensor)| NamedTensor::new(name.clone(), tensor_of(*tensor as u64)));
    let requested_outputs = wanted.iter().map(|(name, _)| name.clone()).collect();
    signature.check(InferRequest { requested_outputs, ..sent_with(sent.collect()) }).unwrap()
}

/// Tensors, with all that every step must be given beside them.
fn sent_with(inputs: Vec<NamedTensor>) -> InferRequest {
    let mut request = InferRequest::new(inputs);
    request.id = "r".to_owned();
    request.parameters.insert("tone", ParameterValue::String("warm".to_owned()));
    request.priority = 3;
    request.timeout = Some(Duration::from_secs(5));
    request.sequence = Some(SequenceFlags { id: SequenceId::Number(7), start: true, end: false });
    request
}

#[track_caller]
fn check_passed_through(request: &InferRequest) {
    let of = |request: &InferRequest| {
        (request.id.clone(), request.parameters.clone(), request.priority, request.timeout, request.sequence.clone())
    };
    assert_eq!(of(request), of(&sent_with(Vec::new())), "what a step is given beside its tensors");
}

// === Members ===

fn tensor_of(value: u64) -> Tensor {
    Tensor::from_elements([1], &[value]).unwrap()
}

fn value_of(tensor: &Tensor) -> u64 {
    tensor.elements::<u64>().unwrap()[0]
}

fn digest(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// What a member answers to these inputs: a list of responses, one unless it is decoupled.
fn answers(step: &Step, inputs: &[(String, u64)]) -> Vec<Values> {
    let seed = digest((&step.model, inputs));
    let responses = if step.is_decoupled { seed % 5 } else { 1 };
    let output = |index: u64, tensor: usize| {
        let value = digest((seed, index, tensor));
        let is_first = step.outputs.first().is_some_and(|(_, first)| *first == tensor);
        // Now and then an output is not given.
        (tensor, (is_first || !value.is_multiple_of(9)).then_some(value))
    };
    (0..responses).map(|index| step.outputs.iter().map(|(_, tensor)| output(index, *tensor)).collect()).collect()
}

// === What must come ===

/// A request for some outputs, read without the journey's help.
struct Reading<'a> {
    plan: &'a Plan,
    outputs: Vec<(Arc<str>, usize)>,
    output_region: usize,
    /// The steps that lead to these outputs.
    needed: BTreeSet<usize>,
}

// === impl Reading ===

impl<'a> Reading<'a> {
    fn new(plan: &'a Plan, outputs: Vec<(Arc<str>, usize)>) -> Self {
        let output_region = plan.tensor_regions[outputs[0].1];
        let mut tensors: BTreeSet<usize> = outputs.iter().map(|(_, tensor)| *tensor).collect();
        let mut needed = BTreeSet::new();
        // Steps of a random plan stand behind those whose tensors they take.
        for (index, step) in plan.steps.iter().enumerate().rev() {
            if step.outputs.iter().any(|(_, tensor)| tensors.contains(tensor)) {
                tensors.extend(step.inputs.iter().map(|(_, tensor)| *tensor));
                needed.insert(index);
            }
        }
        Self { plan, outputs, output_region, needed }
    }

    fn steps_in(&self, region: usize) -> usize {
        self.needed.iter().filter(|index| self.plan.steps[**index].region == region).count()
    }

    /// The responses of a branch: a list per call of the last decoupled step, each in its order. Counts in `runs` how often
    /// each step runs.
    fn expected(&self, region: usize, mut values: Values, runs: &mut [usize]) -> Vec<Vec<Row>> {
        let mut groups = Vec::new();
        for index in &self.needed {
            let step = &self.plan.steps[*index];
            if step.region != region {
                continue;
            }
            runs[*index] += 1;
            let there = step.inputs.iter().filter_map(|(name, tensor)| Some((name.to_string(), values[tensor]?)));
            let responses = answers(step, &there.collect::<Vec<_>>());
            match step.opens {
                None => values.extend(responses.into_iter().next().unwrap()),
                Some(opened) if opened == self.output_region => {
                    let rows = responses.into_iter().map(|values| self.expected(opened, values, runs));
                    groups.push(rows.map(|mut groups| groups.pop().unwrap().pop().unwrap()).collect());
                }
                Some(opened) => {
                    groups.extend(responses.into_iter().flat_map(|values| self.expected(opened, values, runs)));
                }
            }
        }
        if region == self.output_region {
            let row = self.outputs.iter().filter_map(|(name, tensor)| Some((name.to_string(), values[tensor]?)));
            return vec![vec![row.collect()]];
        }
        groups
    }
}

/// Whether what came is a beginning of what must come: in order within each group, nothing twice, nothing else.
fn check_received(received: &[Row], groups: &[Vec<Row>], is_whole: bool) {
    let mut next: Vec<usize> = vec![0; groups.len()];
    for row in received {
        let position = groups.iter().zip(&next).position(|(group, next)| group.get(*next) == Some(row));
        let position = position.unwrap_or_else(|| panic!("{row:?} came out of turn: {received:?} of {groups:?}"));
        next[position] += 1;
    }
    if is_whole {
        assert_eq!(received.len(), groups.iter().map(Vec::len).sum::<usize>(), "{received:?} of {groups:?}");
    }
}

// === The run ===

fn simulate(seed: u64, _start: Instant) {
    let mut random = Random::new(seed);
    let plan = random_plan(&mut random);
    let branches_max = 1 + random.below(4) as usize;
    let left_out = random.chance(20).then_some(0);
    // The first output tells responses apart.
    let is_wanted = |(index, _): &(usize, &(Arc<str>, usize))| *index == 0 || random.chance(70);
    let outputs = plan.outputs.iter().enumerate().filter(is_wanted).map(|(_, output)| output.clone()).collect();
    let reading = Reading::new(&plan, outputs);
    let request = request(&plan, left_out, &reading.outputs);
    let inputs: Values = plan
        .inputs
        .iter()
        .map(|(_, tensor)| (*tensor, (Some(*tensor) != left_out).then_some(*tensor as u64)))
        .collect();
    let mut runs = vec![0; plan.steps.len()];
    let groups = reading.expected(REQUEST_REGION, inputs, &mut runs);
    let mut journey = Journey::begin(&plan, &"e".into(), request, JourneyLimits { branches_max }).unwrap();
    let mut held = Held::new(&reading, REQUEST_REGION);
    // One in a hundred events ends it early, in half of the runs.
    let trouble = if random.chance(50) { 1 } else { 0 };
    let (mut running, mut received): (Vec<Running>, Vec<Row>) = (Vec::new(), Vec::new());
    loop {
        while let Some(action) = journey.next_action() {
            match action {
                Action::Start(call, request) => {
                    assert!(runs[call.step] > 0, "step {} runs more often than anybody needs", call.step);
                    runs[call.step] -= 1;
                    running.push(start(&plan, call, &request, &mut random));
                }
                Action::Send(response) => {
                    received.push(row(&response));
                    held.sent(received.last().unwrap());
                }
                Action::Finish(result) => {
                    received.extend(result.unwrap().iter().map(row));
                    assert!(running.is_empty(), "ended with {} calls under way", running.len());
                    assert_eq!(
                        runs.iter().sum::<usize>(),
                        0,
                        "ended, and these runs of each step are missing: {runs:?}"
                    );
                    check_received(&received, &groups, true);
                    return check_over(journey, Event::Cancelled);
                }
            }
        }
        check_received(&received, &groups, false);
        check_calls(&plan, &running, branches_max);
        assert!(held.branches_of_a_region() <= branches_max, "more than {branches_max} branches of a region");
        assert_eq!(journey.held_bytes(), held.bytes(), "bytes that are held");
        if random.chance(trouble) {
            return end_early(journey, &running, random.chance(50));
        }
        let memory_is_short = random.chance(30);
        let readable: Vec<usize> =
            (0..running.len()).filter(|index| journey.may_read(running[*index].call, memory_is_short)).collect();
        assert!(!readable.is_empty(), "nobody can go on: {} calls under way", running.len());
        let position = pick(&mut random, &readable);
        let call = running[position].call;
        let (response, last) = running[position].answers.pop_front().unwrap();
        if last {
            running.remove(position);
        }
        held.answered(call, response.as_ref(), last);
        journey.on(Event::Answered { call, response, last });
    }
}

fn start(plan: &Plan, call: Call, request: &InferRequest, random: &mut Random) -> Running {
    check_passed_through(request);
    let step = &plan.steps[call.step];
    let inputs = request.inputs.iter().map(|input| (input.name.to_string(), value_of(&input.tensor)));
    let responses = answers(step, &inputs.collect::<Vec<_>>()).into_iter().map(|values| {
        let outputs = values.into_iter().filter_map(|(tensor, value)| Some((tensor, value?)));
        let outputs = outputs.map(|(tensor, value)| NamedTensor::new(name(tensor), tensor_of(value)));
        (Some(InferResponse::new(outputs.collect())), false)
    });
    let mut answers: VecDeque<_> = responses.collect();
    // The end comes with the last response, or by itself.
    match answers.back_mut() {
        Some((_, last)) if !step.is_decoupled || random.chance(50) => *last = true,
        _ => answers.push_back((None, true)),
    }
    Running { call, answers }
}

fn row(response: &InferResponse) -> Row {
    response.outputs.iter().map(|output| (output.name.to_string(), value_of(&output.tensor))).collect()
}

fn check_calls(plan: &Plan, running: &[Running], branches_max: usize) {
    for (index, step) in plan.steps.iter().enumerate() {
        let calls = running.iter().filter(|running| running.call.step == index).count();
        let calls_max = if step.region == REQUEST_REGION { 1 } else { branches_max };
        assert!(calls <= calls_max, "step {index} has {calls} calls at once, {calls_max} allowed");
    }
}

/// A failure, or a client that goes, is the end; what comes later is not looked at.
fn end_early(mut journey: Journey<'_>, running: &[Running], is_failure: bool) {
    let failure = |call| Event::Failed { call, error: InferError::internal("no luck") };
    let call = running[0].call;
    let (event, text) = if is_failure { (failure(call), "no luck") } else { (Event::Cancelled, "the client is gone") };
    journey.on(event);
    let Some(Action::Finish(Err(error))) = journey.next_action() else { panic!("a failure is not the end") };
    assert!(error.message().ends_with(text), "{error}");
    assert_eq!(error.message().starts_with(&format!("in ensemble 'e', step {} (model 'm", call.step)), is_failure);
    for Running { call, answers } in running {
        for (response, last) in answers {
            journey.on(Event::Answered { call: *call, response: response.clone(), last: *last });
        }
        journey.on(failure(*call));
    }
    check_over(journey, Event::Cancelled);
}

/// Whatever happens after the end, nothing follows and nothing is held.
fn check_over(mut journey: Journey<'_>, event: Event) {
    journey.on(event);
    let action = journey.next_action();
    assert!(action.is_none(), "after the end there is still to do: {action:?}");
    assert_eq!(journey.held_bytes(), 0, "held after the end");
}

#[test]
fn every_response_comes_once_and_in_its_order() {
    for_every_seed(SEEDS, simulate);
}

/// What the simulation relies on: most of its graphs branch, and many in more than one level.
#[test]
fn the_simulation_sees_graphs_that_branch() {
    let depth = |seed| {
        let plan = random_plan(&mut Random::new(seed));
        let outputs = plan.outputs.iter().map(|(_, tensor)| plan.tensor_regions[*tensor]).max().unwrap();
        let mut region = outputs;
        let mut depth = 0;
        while region != REQUEST_REGION {
            region = plan.steps.iter().find(|step| step.opens == Some(region)).unwrap().region;
            depth += 1;
        }
        depth
    };
    let mut depths = [0; 4];
    (0..SEEDS).for_each(|seed| depths[depth(seed)] += 1);
    assert!(depths[1] > 250 && depths[2] > 60 && depths[3] > 5, "{depths:?}");
}
