//! The CUDA graphs of an instance: executions that were recorded when it was made and are launched in one call each.
//!
//! A graph reads and writes the addresses that it was captured with, so there is memory for the tensors that all graphs of
//! the instance share, for one execution at a time: inputs are gathered there, and outputs copied out on the device. Each
//! graph has a context of its own, because it is good for as long as its context is told nothing else. A graph that cannot
//! be captured is said in the log, and its executions are started as those of other shapes.

use std::sync::Arc;

use nereid_backend::Parts;
use nereid_gpu::{DeviceAllocation, GpuGraph, GpuStream};
use nereid_tensor::{Buffer, DeviceError};

use crate::{
    ffi::{Context, Engine, InputView},
    graph_shapes::{self, GraphShapes},
    model::{Plan, PlannedTensor, byte_size},
    padding,
    profiles::Extents,
};

/// Where graphs are captured.
pub(crate) struct Site<'a> {
    /// Instance and model, for the log.
    pub(crate) subject: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) stream: &'a GpuStream,
    /// What contexts compute in.
    pub(crate) scratch: &'a Arc<DeviceAllocation>,
}

/// All graphs of an instance.
#[derive(Default)]
pub(crate) struct Graphs {
    graphs: Vec<Graph>,
    /// In the order of the plan, each as large as the largest graph needs it.
    inputs: Vec<DeviceAllocation>,
    outputs: Vec<Arc<DeviceAllocation>>,
}

struct Graph {
    shapes: GraphShapes,
    outputs: Vec<Extents>,
    /// Before its context, which it must not outlive.
    recorded: GpuGraph,
    _context: Context,
}

/// A context with its inputs set, and what it would write.
struct Prepared {
    shapes: GraphShapes,
    context: Context,
    outputs: Vec<Extents>,
}

// === impl Graphs ===

impl Graphs {
    /// Captures what the plan asks for, as far as that can be done.
    pub(crate) fn capture(site: &Site<'_>) -> Self {
        if site.plan.graphs.is_empty() {
            return Self::default();
        }
        let captured = Self::capture_all(site).unwrap_or_else(|text| {
            tracing::warn!("{} has no CUDA graphs, its executions are started one by one: {text}", site.subject);
            Self::default()
        });
        if !captured.graphs.is_empty() {
            let shown: Vec<String> = captured.graphs.iter().map(|graph| graph.shapes.shown()).collect();
            tracing::info!("{} captured CUDA graphs for {}", site.subject, shown.join(", "));
        }
        captured
    }

    fn capture_all(site: &Site<'_>) -> Result<Self, String> {
        let Site { plan, stream, .. } = site;
        let failed = |error: DeviceError| error.to_string();
        let captured: Vec<&[Extents]> = plan.graphs.iter().map(|graph| graph.captured.as_slice()).collect();
        let mut inputs = allocate(stream, &plan.inputs, &captured)?;
        // Nobody knows what an engine does with numbers that are none.
        for input in &mut inputs {
            let range = 0..input.len();
            stream.clear(input, range).map_err(failed)?;
        }
        stream.synchronise().map_err(failed)?;
        let prepared: Vec<Prepared> = said(
            site,
            plan.graphs.iter().map(|shapes| {
                let prepared = prepare(site, shapes, &inputs);
                prepared.map_err(|text| (shapes.clone(), text))
            }),
        );
        let written: Vec<&[Extents]> = prepared.iter().map(|prepared| prepared.outputs.as_slice()).collect();
        let outputs: Vec<_> = allocate(stream, &plan.outputs, &written)?.into_iter().map(Arc::new).collect();
        let graphs = prepared.into_iter().map(|Prepared { shapes, context, outputs: extents }| {
            let recorded = record(site, context, &outputs);
            let (recorded, _context) = recorded.map_err(|text| (shapes.clone(), text))?;
            Ok(Graph { shapes, outputs: extents, recorded, _context })
        });
        Ok(Self { graphs: said(site, graphs), inputs, outputs })
    }

    /// The graph for these shapes of the inputs.
    pub(crate) fn choose(&self, shapes: &[Extents]) -> Option<usize> {
        graph_shapes::choose(self.graphs.iter().map(|graph| &graph.shapes), shapes)
    }

    /// The shapes of a graph, for the log.
    pub(crate) fn shown(&self, chosen: usize) -> String {
        self.graphs.get(chosen).map(|graph| graph.shapes.shown()).unwrap_or_default()
    }

    /// Memory of the device that they occupy, without what the driver needs for them.
    pub(crate) fn bytes(&self) -> u64 {
        let inputs = self.inputs.iter().map(DeviceAllocation::len);
        inputs.chain(self.outputs.iter().map(|output| output.len())).map(|bytes| bytes as u64).sum()
    }

    /// Tells the stream to put the inputs where the graph reads them, in the order of the plan, zeros around those that are
    /// smaller than it.
    ///
    /// # Errors
    /// The device's.
    pub(crate) fn place(&mut self, chosen: usize, stream: &GpuStream, inputs: &[Parts<'_>]) -> Result<(), DeviceError> {
        let Some(graph) = self.graphs.get(chosen) else { return Ok(()) };
        for ((target, parts), captured) in self.inputs.iter_mut().zip(inputs).zip(&graph.shapes.captured) {
            place(stream, (target, captured), parts)?;
        }
        Ok(())
    }

    /// Executes the graph; of outputs whose first extent is the batch's there are `rows`. The execution is over on return,
    /// also when it fails.
    ///
    /// # Errors
    /// The device's.
    pub(crate) fn run(
        &mut self,
        chosen: usize,
        (plan, stream): (&Plan, &GpuStream),
        rows: Option<i64>,
    ) -> Result<Vec<(Extents, DeviceAllocation)>, DeviceError> {
        let Some(graph) = self.graphs.get_mut(chosen) else { return Ok(Vec::new()) };
        let launched = graph.recorded.launch();
        let copied = launched.and_then(|()| {
            let outputs = plan.outputs.iter().zip(&graph.outputs).zip(&self.outputs);
            let copied = outputs.map(|((planned, extents), memory)| {
                let mut shape = extents.clone();
                if let (Some(first), Some(rows)) = (shape.first_mut(), rows) {
                    *first = rows;
                }
                let length_bytes = byte_size(planned, &shape).unwrap_or_default();
                let source = Buffer::external_of_device(Arc::clone(memory) as _);
                let mut copy = stream.allocate(length_bytes)?;
                stream.fill(&mut copy, 0, &source.slice(0..length_bytes).unwrap_or(source))?;
                Ok((shape, copy))
            });
            copied.collect()
        });
        let finished = stream.synchronise();
        copied.and_then(|copied| finished.map(|()| copied))
    }
}

/// Those that succeeded; of the others the log says why.
fn said<T>(site: &Site<'_>, results: impl Iterator<Item = Result<T, (GraphShapes, String)>>) -> Vec<T> {
    let succeeded = results.filter_map(|result| {
        let said = result.inspect_err(|(shapes, text)| {
            tracing::warn!(
                "{} has no CUDA graph for {} ({}), whose executions are started one by one: {text}",
                site.subject,
                shapes.shown(),
                shapes.origin
            );
        });
        said.ok()
    });
    succeeded.collect()
}

/// Memory for each tensor in the largest of its shapes.
fn allocate(
    stream: &GpuStream,
    planned: &[PlannedTensor],
    shapes: &[&[Extents]],
) -> Result<Vec<DeviceAllocation>, String> {
    let allocations = planned.iter().enumerate().map(|(place, planned)| {
        let sizes = shapes.iter().filter_map(|shapes| byte_size(planned, shapes.get(place)?));
        let allocated = stream.allocate(sizes.max().unwrap_or_default());
        allocated.map_err(|error| format!("memory for '{}' on {error}", planned.name))
    });
    allocations.collect()
}

/// A context that reads `inputs` in these shapes.
fn prepare(site: &Site<'_>, shapes: &GraphShapes, inputs: &[DeviceAllocation]) -> Result<Prepared, String> {
    let Site { plan, engine, stream, scratch, .. } = site;
    let profile = plan.profiles.get(shapes.profile).ok_or("its profile is gone")?;
    let mut context = Context::new(engine, profile.index, (stream, scratch))?;
    let views = plan.inputs.iter().zip(&shapes.captured).zip(inputs);
    let views: Vec<InputView<'_>> = views
        .map(|((planned, shape), memory)| InputView { name: &planned.c_name, shape, address: memory.address() })
        .collect();
    context.set_inputs(&views)?;
    let outputs = plan.outputs.iter().map(|planned| context.output_shape(&planned.c_name));
    let outputs = outputs.collect::<Result<Vec<Extents>, String>>()?;
    Ok(Prepared { shapes: shapes.clone(), context, outputs })
}

/// One execution of the context, recorded.
fn record(
    site: &Site<'_>,
    mut context: Context,
    outputs: &[Arc<DeviceAllocation>],
) -> Result<(GpuGraph, Context), String> {
    let Site { plan, stream, .. } = site;
    for (planned, memory) in plan.outputs.iter().zip(outputs) {
        context.set_output(&planned.c_name, memory.address())?;
    }
    // In its first execution of a shape TensorRT does what cannot be recorded.
    let executed = context.enqueue(stream);
    let finished = stream.synchronise().map_err(|error| error.to_string());
    executed.and(finished)?;
    let recorded = stream.record(|| context.enqueue(stream)).map_err(|error| error.to_string())?;
    Ok((recorded, context))
}

/// Tells the stream to put the parts of an input where they stand in `captured`.
fn place(
    stream: &GpuStream,
    (target, captured): (&mut DeviceAllocation, &Extents),
    parts: &Parts<'_>,
) -> Result<(), DeviceError> {
    let Some(element_bytes) = parts.data_type.size_bytes() else { return Ok(()) };
    let (whole, inner) = (parts.shape.to_signed(), captured.get(1..).unwrap_or_default());
    let row_bytes = padding::elements(inner) * element_bytes;
    // Rows are written as a whole where only their number differs.
    let written = if whole.get(1..).unwrap_or_default() == inner { padding::rows(&whole) } else { 0 };
    stream.clear(target, written * row_bytes..padding::rows(captured) * row_bytes)?;
    let mut start = 0;
    for tensor in &parts.tensors {
        let shape = tensor.shape().to_signed();
        for run in padding::runs(&shape, captured) {
            let (from, length) = (run.from * element_bytes, run.length * element_bytes);
            let source = tensor.buffer().slice(from..from + length).unwrap_or_default();
            stream.fill(target, start + run.to * element_bytes, &source)?;
        }
        start += padding::rows(&shape) * row_bytes;
    }
    Ok(())
}
