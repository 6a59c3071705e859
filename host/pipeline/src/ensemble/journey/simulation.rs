//! Seeded simulation: random graphs with decoupled steps, random numbers of responses, answers in random order,
//! failures and cancellations, over the real journey.
//!
//! A second, naive reading of the graph says which responses must come. Checked after every event: each of them comes once
//! and in the order of its stream, a missing output is left out, no step has more calls than it may, somebody can always
//! go on, and after a failure or a cancellation nothing happens. A failure prints its seed; `NEREID_SEED=n` replays it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

use nereid_inference::{Signature, TensorSpec};
use nereid_seeds::{Random, for_every_seed};
use nereid_tensor::{DataType, Tensor};

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

fn request(plan: &Plan, left_out: Option<usize>) -> CheckedRequest {
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
    signature.check(InferRequest::new(sent.collect())).unwrap()
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

/// The responses of a branch: a list per call of the last decoupled step, each in its order.
fn expected(plan: &Plan, needed: &[bool], region: usize, mut values: Values, output_region: usize) -> Vec<Vec<Row>> {
    let mut groups = Vec::new();
    // Steps of a random plan stand behind those whose tensors they take.
    for (step, _) in plan.steps.iter().zip(needed).filter(|(step, needed)| **needed && step.region == region) {
        let there = step.inputs.iter().filter_map(|(name, tensor)| Some((name.to_string(), values[tensor]?)));
        let responses = answers(step, &there.collect::<Vec<_>>());
        match step.opens {
            None => values.extend(responses.into_iter().next().unwrap()),
            Some(opened) if opened == output_region => {
                let rows = responses
                    .into_iter()
                    .map(|values| expected(plan, needed, opened, values, output_region).pop().unwrap().pop().unwrap());
                groups.push(rows.collect());
            }
            Some(opened) => {
                groups.extend(
                    responses.into_iter().flat_map(|values| expected(plan, needed, opened, values, output_region)),
                );
            }
        }
    }
    if region == output_region {
        let row = plan.outputs.iter().filter_map(|(name, tensor)| Some((name.to_string(), values[tensor]?)));
        return vec![vec![row.collect()]];
    }
    groups
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
    let request = request(&plan, left_out);
    let inputs: Values = plan
        .inputs
        .iter()
        .map(|(_, tensor)| (*tensor, (Some(*tensor) != left_out).then_some(*tensor as u64)))
        .collect();
    let mut journey = Journey::begin(&plan, &"e".into(), request, JourneyLimits { branches_max }).unwrap();
    let groups = expected(&plan, &journey.needed, REQUEST_REGION, inputs, journey.output_region);
    // One in a hundred events ends it early, in half of the runs.
    let trouble = if random.chance(50) { 1 } else { 0 };
    let (mut running, mut received): (Vec<Running>, Vec<Row>) = (Vec::new(), Vec::new());
    loop {
        while let Some(action) = journey.next_action() {
            match action {
                Action::Start(call, request) => running.push(start(&plan, call, &request, &mut random)),
                Action::Send(response) => received.push(row(&response)),
                Action::Finish(result) => {
                    received.extend(result.unwrap().iter().map(row));
                    assert!(running.is_empty(), "ended with {} calls under way", running.len());
                    assert_eq!((journey.held_bytes(), journey.next_action().is_none()), (0, true));
                    return check_received(&received, &groups, true);
                }
            }
        }
        check_received(&received, &groups, false);
        check_calls(&plan, &running, branches_max);
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
        journey.on(Event::Answered { call, response, last });
    }
}

fn start(plan: &Plan, call: Call, request: &InferRequest, random: &mut Random) -> Running {
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
    let call = running[0].call;
    let (event, text) = match is_failure {
        true => (Event::Failed { call, error: InferError::internal("no luck") }, "no luck"),
        false => (Event::Cancelled, "the client is gone"),
    };
    journey.on(event);
    let Some(Action::Finish(Err(error))) = journey.next_action() else { panic!("a failure is not the end") };
    assert!(error.message().ends_with(text), "{error}");
    assert_eq!(error.message().starts_with(&format!("in ensemble 'e', step {} (model 'm", call.step)), is_failure);
    for Running { call, answers } in running {
        for (response, last) in answers {
            journey.on(Event::Answered { call: *call, response: response.clone(), last: *last });
        }
    }
    assert!(journey.next_action().is_none() && journey.held_bytes() == 0);
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
