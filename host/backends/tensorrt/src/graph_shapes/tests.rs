//! What is captured for which configuration, and what an execution takes.

use std::ffi::CString;

use nereid_inference::config::{CudaOptimization, DynamicBatching, Optimization};

use super::*;
use crate::profiles::Bounds;

fn input(name: &str, dims: &[i64]) -> EngineTensor {
    EngineTensor { name: CString::new(name).unwrap(), dims: dims.to_vec(), ..EngineTensor::default() }
}

/// One profile of one input of two dimensions.
fn profile(index: usize, (smallest, best, largest): ([i64; 2], [i64; 2], [i64; 2])) -> Profile {
    let bounds = Bounds { smallest: smallest.into(), best: best.into(), largest: largest.into() };
    Profile { index, bounds: vec![bounds] }
}

fn config(max_batch_size: i32, graph_specs: Vec<GraphSpec>) -> ModelConfig {
    let cuda = CudaOptimization { graphs: true, graph_specs, ..CudaOptimization::default() };
    let optimization = Some(Optimization { cuda: Some(cuda), ..Optimization::default() });
    ModelConfig { name: "m".into(), max_batch_size, optimization, ..ModelConfig::default() }
}

fn named(dims: &[i64]) -> BTreeMap<String, GraphSpecShape> {
    [("x".to_owned(), GraphSpecShape { dims: dims.to_vec() })].into()
}

fn spec(batch_size: i32, dims: &[i64], lower_bound: Option<(i32, &[i64])>) -> GraphSpec {
    let lower_bound = lower_bound.map(|(batch_size, dims)| LowerBound { batch_size, inputs: named(dims) });
    GraphSpec { batch_size, inputs: named(dims), lower_bound }
}

/// Of an engine with `x`, which batches to 16 rows of 1 to 100 elements, 10 at best.
fn of_open(config: &ModelConfig) -> Result<Requested, String> {
    requested(config, &[input("x", &[-1, -1])], &[profile(0, ([1, 1], [4, 10], [16, 100]))])
}

fn shown(requested: &Requested) -> Vec<String> {
    requested.graphs.iter().map(GraphShapes::shown).collect()
}

#[test]
fn nothing_is_captured_that_nobody_asked_for() {
    let mut off = config(16, vec![spec(4, &[10], None)]);
    off.optimization.as_mut().unwrap().cuda.as_mut().unwrap().graphs = false;
    assert_eq!(of_open(&off), Ok(Requested::default()));
    assert_eq!(of_open(&ModelConfig::default()), Ok(Requested::default()));
}

#[test]
fn without_a_specification_the_usual_batches_are_captured_at_the_best_extents() {
    let all = of_open(&config(12, vec![])).unwrap();
    assert_eq!(shown(&all), ["[1,10]", "[2,10]", "[3,10]", "[4,10]", "[6,10]", "[8,10]", "[12,10]"]);
    assert_eq!(all.graphs[6].origin, "batch size 12");
    let mut preferring = config(16, vec![]);
    let preferred_batch_sizes = vec![5, 99];
    preferring.scheduling =
        Some(Scheduling::Dynamic(DynamicBatching { preferred_batch_sizes, ..DynamicBatching::default() }));
    assert_eq!(shown(&of_open(&preferring).unwrap()), ["[1,10]", "[5,10]", "[16,10]"]);
    assert_eq!(shown(&of_open(&config(0, vec![])).unwrap()), ["[4,10]"], "a model that does not batch");
}

#[test]
fn usual_batches_beyond_the_profiles_are_left_out_in_silence_and_others_said() {
    let small = [profile(0, ([1, 3], [1, 3], [2, 3])), profile(2, ([2, 3], [6, 3], [6, 3]))];
    let inputs = [input("x", &[-1, 3])];
    let usual = requested(&config(8, vec![]), &inputs, &small).unwrap();
    assert_eq!(
        (shown(&usual), usual.refused),
        (["[1,3]", "[2,3]", "[3,3]", "[4,3]", "[6,3]"].map(String::from).into(), vec![])
    );
    assert_eq!(usual.graphs.iter().map(|graph| graph.profile).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
    let asked = requested(&config(8, vec![spec(8, &[3], None)]), &inputs, &small).unwrap();
    assert_eq!(
        asked.refused,
        [
            "graph_spec 0 cannot be captured: no optimization profile of the engine allows these shapes: input 'x' has shape [8,3], profile 0 \
             takes [1,3] to [2,3]; input 'x' has shape [8,3], profile 2 takes [2,3] to [6,3]"
        ]
    );
}

#[test]
fn inputs_of_fixed_extents_need_no_shape_and_others_do() {
    let inputs = [input("x", &[-1, -1]), input("control", &[-1, 1])];
    let mut both = profile(0, ([1, 1], [4, 10], [16, 100]));
    both.bounds.push(Bounds { smallest: vec![1, 1], best: vec![4, 1], largest: vec![16, 1] });
    let graphs = requested(&config(16, vec![spec(2, &[7], None)]), &inputs, &[both.clone()]).unwrap();
    assert_eq!(shown(&graphs), ["[2,7] [2,1]"]);
    let mut other = spec(2, &[], None);
    other.inputs = [("control".to_owned(), GraphSpecShape { dims: vec![1] })].into();
    let refused = requested(&config(16, vec![other.clone()]), &inputs, &[both.clone()]).unwrap().refused;
    assert_eq!(refused, ["graph_spec 0 has no shape for input 'x', whose extents are open in the engine"]);
    other.inputs = [("y".to_owned(), GraphSpecShape { dims: vec![1] })].into();
    let refused = requested(&config(16, vec![other]), &inputs, &[both]).unwrap().refused;
    assert_eq!(refused, ["graph_spec 0 names input 'y', and the inputs of the engine are x, control"]);
}

#[test]
fn an_execution_takes_its_own_graph_or_the_first_between_bounds() {
    let specs = vec![
        spec(16, &[100], Some((1, &[50]))),
        spec(8, &[20], Some((2, &[20]))),
        spec(4, &[20], None),
        GraphSpec {
            batch_size: 12,
            inputs: BTreeMap::new(),
            lower_bound: Some(LowerBound { batch_size: 9, ..LowerBound::default() }),
        },
    ];
    let graphs = of_open(&config(16, specs)).unwrap().graphs;
    let shapes: Vec<String> = graphs.iter().map(GraphShapes::shown).collect();
    assert_eq!(shapes, ["[4,20]", "[8,20]", "[12,10]", "[16,100]"]);
    let taken = |rows: i64, extent: i64| choose(graphs.iter(), &[vec![rows, extent]]).map(|place| &*shapes[place]);
    assert_eq!((taken(4, 20), taken(3, 20), taken(8, 20)), (Some("[4,20]"), Some("[8,20]"), Some("[8,20]")));
    assert_eq!((taken(1, 20), taken(3, 19), taken(9, 20)), (None, None, None));
    assert_eq!((taken(9, 10), taken(8, 10), taken(1, 50)), (Some("[12,10]"), None, Some("[16,100]")));
    assert_eq!(choose(graphs.iter(), &[vec![4, 20], vec![1]]), None, "another number of inputs");
    assert_eq!(choose(graphs.iter(), &[vec![4]]), None, "another rank");
}

#[test]
fn what_would_take_many_copies_to_pad_takes_no_graph() {
    let graphs = requested(
        &config(0, vec![spec(0, &[128, 100], Some((0, &[1, 1])))]),
        &[input("x", &[-1, -1])],
        &[profile(0, ([1, 1], [1, 1], [128, 100]))],
    );
    let graphs = graphs.unwrap().graphs;
    let taken = |shape: [i64; 2]| choose(graphs.iter(), &[shape.to_vec()]).is_some();
    assert_eq!((taken([64, 99]), taken([65, 99]), taken([65, 100])), (true, false, true));
}

#[test]
fn specifications_that_contradict_themselves_or_the_batch_size_are_refused_with_both_sides() {
    let cases: [(i32, GraphSpec, &str); 6] = [
        (0, spec(1, &[1], None), "batch_size is 1, and max_batch_size allows 0 to 0"),
        (8, spec(9, &[1], None), "batch_size is 9, and max_batch_size allows 1 to 8"),
        (8, spec(4, &[1], Some((0, &[1]))), "batch_size of graph_lower_bound is 0, and max_batch_size allows 1 to 8"),
        (8, spec(4, &[1], Some((5, &[1]))), "batch_size of graph_lower_bound is 5, and the graph's own is 4"),
        (8, spec(4, &[2], Some((1, &[3]))), "input 'x' is [3] in graph_lower_bound, which is not below [2]"),
        (8, spec(4, &[2], Some((1, &[1, 1]))), "input 'x' is [1,1] in graph_lower_bound, which is not below [2]"),
    ];
    for (max_batch_size, spec, expected) in cases {
        let text = of_open(&config(max_batch_size, vec![spec])).unwrap_err();
        assert_eq!(text, format!("optimization.cuda, graph_spec 0: {expected}"));
    }
    let mut bare = spec(4, &[2], Some((1, &[1])));
    bare.lower_bound.as_mut().unwrap().inputs.clear();
    let text = of_open(&config(8, vec![spec(1, &[1], None), bare])).unwrap_err();
    assert_eq!(text, "optimization.cuda, graph_spec 1: graph_lower_bound has no shape for input 'x'");
}
