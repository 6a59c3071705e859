//! Which shapes CUDA graphs are captured for, and which of the graphs an execution takes.
//!
//! As in Triton: those of `graph_spec`; where there is none, the usual batch sizes with the best extents of each profile. A
//! graph serves its own shapes, and down to `graph_lower_bound` smaller ones, padded.

use std::collections::BTreeMap;

use nereid_inference::{
    ModelConfig,
    config::{GraphSpec, GraphSpecShape, LowerBound, Scheduling, SequenceStrategy},
};

use crate::{
    padding,
    profiles::{self, Extents, Profile, Shown},
    tensors::EngineTensor,
};

/// Batches without a `graph_spec` and without preferred sizes: graphs are worth most where executions are short.
const BATCH_SIZES: [i32; 8] = [1, 2, 3, 4, 6, 8, 12, 16];

/// Copies of one input into its place in a larger one. With more of them copying takes what the graph saves.
const RUNS_MAX: usize = 64;

/// The shapes of one graph; by input, in the order of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphShapes {
    /// What asked for it.
    pub(crate) origin: String,
    /// Among the profiles that instances use.
    pub(crate) profile: usize,
    pub(crate) captured: Vec<Extents>,
    smallest: Vec<Extents>,
}

/// What a configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    /// In Triton's order: the first that serves an execution is taken.
    pub(crate) graphs: Vec<GraphShapes>,
    /// Specifications that no engine's input or profile fits, and why.
    pub(crate) refused: Vec<String>,
}

/// What a configuration asks for, of this engine.
///
/// # Errors
/// A specification that contradicts the configuration or itself.
pub(crate) fn requested(
    config: &ModelConfig,
    inputs: &[EngineTensor],
    profiles: &[Profile],
) -> Result<Requested, String> {
    let Some(cuda) = config.optimization.as_ref().and_then(|it| it.cuda.as_ref()).filter(|cuda| cuda.graphs) else {
        return Ok(Requested::default());
    };
    let mut requested = Requested::default();
    for (index, spec) in cuda.graph_specs.iter().enumerate() {
        let origin = format!("graph_spec {index}");
        check(spec, config.max_batch_size).map_err(|text| format!("optimization.cuda, {origin}: {text}"))?;
        if let Err(text) = requested.add(&origin, spec, (inputs, profiles)) {
            requested.refused.push(format!("{origin} {text}"));
        }
    }
    if cuda.graph_specs.is_empty() {
        for batch_size in usual_batch_sizes(config) {
            let spec = GraphSpec { batch_size, ..GraphSpec::default() };
            // What no profile allows was not asked for by name.
            let _added = requested.add(&format!("batch size {batch_size}"), &spec, (inputs, profiles));
        }
    }
    requested.graphs.sort_by(|one, other| one.captured.cmp(&other.captured));
    Ok(requested)
}

/// The place of the graph for these shapes: the one of exactly these, else the first that serves them.
pub(crate) fn choose<'g>(graphs: impl Iterator<Item = &'g GraphShapes> + Clone, shapes: &[Extents]) -> Option<usize> {
    let exact = graphs.clone().position(|graph| graph.captured == shapes);
    exact.or_else(|| graphs.clone().position(|graph| graph.serves(shapes)))
}

// === impl GraphShapes ===

impl GraphShapes {
    /// The captured shapes as they are written in configurations.
    pub(crate) fn shown(&self) -> String {
        let shapes: Vec<String> = self.captured.iter().map(|shape| Shown(shape).to_string()).collect();
        shapes.join(" ")
    }

    fn serves(&self, shapes: &[Extents]) -> bool {
        let fits = |((shape, smallest), captured): ((&Extents, &Extents), &Extents)| {
            let within = |((extent, least), most): ((&i64, &i64), &i64)| least <= extent && extent <= most;
            shape.len() == captured.len()
                && shape.iter().zip(smallest).zip(captured).all(within)
                && padding::count(shape, captured) <= RUNS_MAX
        };
        shapes.len() == self.captured.len() && shapes.iter().zip(&self.smallest).zip(&self.captured).all(fits)
    }
}

// === impl Requested ===

impl Requested {
    /// Adds the shapes of a specification; without inputs in it there are some for each profile.
    fn add(
        &mut self,
        origin: &str,
        spec: &GraphSpec,
        (inputs, profiles): (&[EngineTensor], &[Profile]),
    ) -> Result<(), String> {
        let names: Vec<String> = inputs.iter().map(EngineTensor::text).collect();
        if let Some(unknown) = spec.inputs.keys().find(|name| !names.contains(name)) {
            return Err(format!("names input '{unknown}', and the inputs of the engine are {}", names.join(", ")));
        }
        let mut outcome = Ok(());
        let mut is_added = false;
        for profile in profiles {
            let shapes = |batch_size, named: &BTreeMap<String, GraphSpecShape>| {
                let shapes = inputs.iter().zip(&profile.bounds);
                let shapes = shapes.map(|(input, bounds)| input_shape(input, &bounds.best, (batch_size, named)));
                shapes.collect::<Result<Vec<Extents>, String>>()
            };
            let captured = shapes(spec.batch_size, &spec.inputs)?;
            let smallest = match &spec.lower_bound {
                Some(bound) if spec.inputs.is_empty() => shapes(bound.batch_size, &spec.inputs)?,
                Some(bound) => shapes(bound.batch_size, &bound.inputs)?,
                None => captured.clone(),
            };
            let named: Vec<(&str, Extents)> = names.iter().map(String::as_str).zip(captured.iter().cloned()).collect();
            match profiles::choose(profiles, &named) {
                Ok(profile) => {
                    is_added = true;
                    if self.graphs.iter().all(|graph| graph.captured != captured) {
                        self.graphs.push(GraphShapes { origin: origin.to_owned(), profile, captured, smallest });
                    }
                }
                Err(text) => outcome = Err(format!("cannot be captured: {text}")),
            }
        }
        if is_added { Ok(()) } else { outcome }
    }
}

/// The shape of an input with the batch dimension: the named one, or where none is named for any input the best.
fn input_shape(
    input: &EngineTensor,
    best: &Extents,
    (batch_size, named): (i32, &BTreeMap<String, GraphSpecShape>),
) -> Result<Extents, String> {
    let batch: Option<i64> = (batch_size > 0).then(|| i64::from(batch_size));
    let skip = usize::from(batch.is_some());
    let name = input.text();
    let fixed = || input.dims.get(skip..).filter(|dims| !dims.contains(&-1));
    let inner = match named.get(&name) {
        Some(GraphSpecShape { dims }) => Some(dims.as_slice()),
        None if named.is_empty() => best.get(skip..),
        None => fixed(),
    };
    let inner =
        inner.ok_or_else(|| format!("has no shape for input '{name}', whose extents are open in the engine"))?;
    Ok(batch.into_iter().chain(inner.iter().copied()).collect())
}

/// Triton's own: 1, what the scheduler prefers or else the usual, and the largest.
fn usual_batch_sizes(config: &ModelConfig) -> Vec<i32> {
    let largest = config.max_batch_size;
    let preferred: &[i32] = match &config.scheduling {
        Some(Scheduling::Dynamic(dynamic)) => &dynamic.preferred_batch_sizes,
        Some(Scheduling::Sequence(sequences)) => match &sequences.strategy {
            Some(SequenceStrategy::Oldest { preferred_batch_sizes, .. }) => preferred_batch_sizes,
            _ => &[],
        },
        _ => &[],
    };
    let preferred = if preferred.is_empty() { &BATCH_SIZES } else { preferred };
    let mut sizes: Vec<i32> = [&[largest.min(1), largest], preferred].concat();
    sizes.retain(|size| (largest.min(1)..=largest).contains(size));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Triton's rules for a specification.
fn check(spec: &GraphSpec, max_batch_size: i32) -> Result<(), String> {
    let own = LowerBound { batch_size: spec.batch_size, inputs: spec.inputs.clone() };
    let bound = spec.lower_bound.as_ref().unwrap_or(&own);
    for (batch_size, of_whom) in [(spec.batch_size, ""), (bound.batch_size, " of graph_lower_bound")] {
        let allowed = i32::from(max_batch_size > 0)..=max_batch_size.max(0);
        if !allowed.contains(&batch_size) {
            let (least, most) = (allowed.start(), allowed.end());
            return Err(format!("batch_size{of_whom} is {batch_size}, and max_batch_size allows {least} to {most}"));
        }
    }
    if bound.batch_size > spec.batch_size {
        let (bound, own) = (bound.batch_size, spec.batch_size);
        return Err(format!("batch_size of graph_lower_bound is {bound}, and the graph's own is {own}"));
    }
    for (name, GraphSpecShape { dims }) in &spec.inputs {
        let Some(GraphSpecShape { dims: least }) = bound.inputs.get(name) else {
            return Err(format!("graph_lower_bound has no shape for input '{name}'"));
        };
        let ordered = |(least, most): (&i64, &i64)| 0 <= *least && least <= most;
        if least.len() != dims.len() || !least.iter().zip(dims).all(ordered) {
            let (least, dims) = (Shown(least), Shown(dims));
            return Err(format!("input '{name}' is {least} in graph_lower_bound, which is not below {dims}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
