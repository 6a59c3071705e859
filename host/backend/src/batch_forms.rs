//! What a configuration says about the form of a whole batch: inputs whose requests differ in shape (`allow_ragged_batch`),
//! tensors that tell the model about them (`batch_input`), and outputs that are cut by the shape of an input
//! (`batch_output`).
//!
//! For backends that execute a batch as one: they gather with [`BatchForms::gather`], add every [`BatchTensor`], and hand
//! out with [`BatchForms::cut_of`]. Kinds and values are those of Triton's `BackendInputCollector`: "elements" are all
//! elements of a request, its batch dimension included, and shapes are those that the backend sees, after a `reshape`.
//! Costs nothing for a model that says nothing of this.

use std::sync::Arc;

use nereid_inference::{
    InferError, ModelConfig,
    config::{BatchInput, BatchInputKind, BatchOutput},
};
use nereid_tensor::{BufferMut, DataType, Element, Shape, Tensor};

use crate::{
    Batch, Parts,
    assemble::{self, cut},
};

/// Of one model.
#[derive(Debug, Default)]
pub struct BatchForms {
    ragged: Vec<Arc<str>>,
    tensors: Vec<BatchTensor>,
    cuts: Vec<OutputCut>,
}

/// An input that the host makes once the batch is known.
#[derive(Debug)]
pub struct BatchTensor {
    name: Arc<str>,
    data_type: DataType,
    kind: BatchInputKind,
    source: Arc<str>,
    /// Dimensions of the source, without the batch.
    source_rank: usize,
}

/// An output whose parts have the shape of each request's input, in its open dimensions.
#[derive(Debug)]
pub struct OutputCut {
    output: Arc<str>,
    source: Arc<str>,
    /// With the batch dimension, if the model has one; -1 is the source's extent in the same place.
    dims: Vec<i64>,
}

// === impl BatchForms ===

impl BatchForms {
    /// What a complete configuration says.
    ///
    /// # Errors
    /// `InvalidArgument`: a tensor about the batch that cannot be made, or an output that the source's shape cannot cut.
    pub fn of(config: &ModelConfig) -> Result<Self, InferError> {
        let invalid = |text| InferError::invalid_argument(format!("{text} for {}", config.name));
        let ragged = config.inputs.iter().filter(|input| input.allow_ragged_batch);
        let mut forms = Self { ragged: ragged.map(|input| input.name.as_str().into()).collect(), ..Self::default() };
        for batch_input in &config.batch_inputs {
            forms.tensors.extend(BatchTensor::all(config, batch_input).map_err(invalid)?);
        }
        for batch_output in &config.batch_outputs {
            forms.cuts.extend(OutputCut::all(config, batch_output).map_err(invalid)?);
        }
        Ok(forms)
    }

    /// Refuses what only a backend can serve that executes a batch as one: `backend` gives each request to the model as it
    /// came, so there is nothing to tell about a batch and nothing to cut.
    ///
    /// # Errors
    /// `Unsupported`, with the field.
    pub fn refuse_batch_tensors(config: &ModelConfig, backend: &str) -> Result<(), InferError> {
        let field = match (config.batch_inputs.is_empty(), config.batch_outputs.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => "batch_input",
            (true, false) => "batch_output",
        };
        Err(InferError::unsupported(format!(
            "model '{}': the {backend} backend gives the model every request by itself, so there is no batch for \
             '{field}'; remove it from the configuration",
            config.name
        )))
    }

    /// Whether requests of different shapes of this input share a batch.
    pub fn is_ragged(&self, input: &str) -> bool {
        self.ragged.iter().any(|name| **name == *input)
    }

    /// The inputs that the host makes.
    pub fn tensors(&self) -> &[BatchTensor] {
        &self.tensors
    }

    /// How the output called `name` is cut, where it is not by rows.
    pub fn cut_of(&self, name: &str) -> Option<&OutputCut> {
        self.cuts.iter().find(|cut| *cut.output == *name)
    }

    /// The input called `name` of the whole batch: flat if it is ragged, by rows otherwise; `None` when no request has it.
    ///
    /// # Errors
    /// The requests do not fit together: the scheduler must not have batched them.
    pub fn gather(&self, batch: &Batch, name: &str) -> Result<Option<Tensor>, InferError> {
        match self.is_ragged(name) {
            true => assemble::gather_flat(batch, name),
            false => assemble::gather(batch, name),
        }
    }

    /// What [`BatchForms::gather`] puts together, where it lies, also on a device.
    ///
    /// # Errors
    /// The requests do not fit together: the scheduler must not have batched them.
    pub fn parts<'b>(&self, batch: &'b Batch, name: &str) -> Result<Option<Parts<'b>>, InferError> {
        match self.is_ragged(name) {
            true => assemble::parts_end_to_end(batch, name),
            false => assemble::parts_by_rows(batch, name),
        }
    }
}

// === impl BatchTensor ===

impl BatchTensor {
    /// One for each name that the configuration gives it.
    fn all(config: &ModelConfig, batch_input: &BatchInput) -> Result<Vec<Self>, String> {
        let data_type = match batch_input.data_type.known() {
            Some(data_type @ (DataType::Int32 | DataType::Fp32)) => data_type,
            _ => return Err("batch input data type must be TYPE_INT32 or TYPE_FP32".to_owned()),
        };
        let (source, dims) = source_input(config, &batch_input.source_inputs)?;
        let source_rank = if config.has_batching() { dims.len() } else { dims.len().saturating_sub(1) };
        let named = |name: &String| Self {
            name: name.as_str().into(),
            data_type,
            kind: batch_input.kind,
            source: source.into(),
            source_rank,
        };
        Ok(batch_input.target_names.iter().map(named).collect())
    }

    /// The model's name for it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// `INT32` or `FP32`.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Its shape, as far as it does not depend on the batch; -1 is any extent.
    pub fn dims(&self) -> Vec<i64> {
        match self.kind {
            BatchInputKind::ItemShape => vec![-1, i64::try_from(self.source_rank).unwrap_or(-1)],
            _ => vec![-1],
        }
    }

    /// The tensor for this batch.
    ///
    /// # Errors
    /// A request is without the source input, or a number does not fit the type.
    pub fn make(&self, batch: &Batch) -> Result<Tensor, InferError> {
        let shapes: Vec<&Shape> = batch.requests().filter_map(|r| r.input(&self.source)).map(Tensor::shape).collect();
        if shapes.len() != batch.len() {
            return Err(self.failed(&format!("is about input '{}', which the request does not have", self.source)));
        }
        let counts = shapes.iter().map(|shape| shape.checked_element_count().unwrap_or(u64::MAX));
        match self.kind {
            BatchInputKind::ElementCount => self.row(counts),
            BatchInputKind::AccumulatedElementCount => self.row(running_sums(counts)),
            BatchInputKind::AccumulatedElementCountWithZero => self.row([0].into_iter().chain(running_sums(counts))),
            BatchInputKind::MaxElementCountAsShape => self.zeros(counts.max().unwrap_or(0)),
            BatchInputKind::ItemShape => {
                let rows = shapes.iter().filter_map(|shape| shape.first()).sum();
                self.tensor(Shape::from([rows, self.source_rank as u64]), &item_shapes(&shapes))
            }
            BatchInputKind::ItemShapeFlatten => self.row(item_shapes(&shapes).into_iter()),
        }
    }

    /// Numbers in one dimension.
    fn row(&self, values: impl Iterator<Item = u64>) -> Result<Tensor, InferError> {
        let values: Vec<u64> = values.collect();
        self.tensor(Shape::from([values.len() as u64]), &values)
    }

    fn tensor(&self, shape: Shape, values: &[u64]) -> Result<Tensor, InferError> {
        match self.data_type {
            DataType::Fp32 => self.elements(shape, &values.iter().map(|value| *value as f32).collect::<Vec<_>>()),
            _ => {
                let narrowed: Result<Vec<i32>, _> = values.iter().map(|value| i32::try_from(*value)).collect();
                let narrowed = narrowed.map_err(|_| self.failed("has a number that is too large for INT32"))?;
                self.elements(shape, &narrowed)
            }
        }
    }

    fn elements<T: Element>(&self, shape: Shape, elements: &[T]) -> Result<Tensor, InferError> {
        Tensor::from_elements(shape, elements).map_err(|error| self.failed(&error.to_string()))
    }

    /// A tensor that tells by its shape alone.
    fn zeros(&self, extent: u64) -> Result<Tensor, InferError> {
        let shape = Shape::from([extent]);
        let length_bytes = shape.byte_size(self.data_type).ok_or_else(|| self.failed("is too large"))?;
        let buffer = BufferMut::zeroed(length_bytes).freeze();
        Tensor::new(self.data_type, shape, buffer).map_err(|error| self.failed(&error.to_string()))
    }

    fn failed(&self, text: &str) -> InferError {
        InferError::invalid_argument(format!("batch input '{}' {text}", self.name))
    }
}

fn running_sums(counts: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    counts.scan(0_u64, |sum, count| {
        *sum = sum.saturating_add(count);
        Some(*sum)
    })
}

/// The dimensions of each row, one after the other.
fn item_shapes(shapes: &[&Shape]) -> Vec<u64> {
    let rows = |shape: &&Shape| usize::try_from(shape.first().copied().unwrap_or(0)).unwrap_or(0);
    shapes.iter().flat_map(|shape| std::iter::repeat_n(shape.inner(), rows(shape)).flatten().copied()).collect()
}

// === impl OutputCut ===

impl OutputCut {
    /// One for each output that the configuration names.
    fn all(config: &ModelConfig, batch_output: &BatchOutput) -> Result<Vec<Self>, String> {
        let (source, source_dims) = source_input(config, &batch_output.source_inputs)?;
        let named = |name: &String| {
            let output = config.outputs.iter().find(|output| output.name == *name);
            let dims = output.ok_or_else(|| format!("unknown target output name '{name}'"))?.backend_dims();
            let dims: Vec<i64> = config.has_batching().then_some(-1).into_iter().chain(dims.iter().copied()).collect();
            let source_rank = source_dims.len() + usize::from(config.has_batching());
            match dims.iter().rposition(|dim| *dim == -1) {
                Some(open) if open >= source_rank => Err(format!(
                    "batch output '{name}' has an open dimension in place {open}, where source input '{source}' has none"
                )),
                _ => Ok(Self { output: name.as_str().into(), source: source.into(), dims }),
            }
        };
        batch_output.target_names.iter().map(named).collect()
    }

    /// The parts of `output`, one for each request of the batch.
    ///
    /// # Errors
    /// The output has not as many elements as all parts together.
    pub fn hand_out(&self, batch: &Batch, output: &Tensor) -> Result<Vec<Tensor>, InferError> {
        let shapes: Option<Vec<Shape>> =
            batch.requests().map(|request| self.part(request.input(&self.source)?.shape())).collect();
        let shapes = shapes.ok_or_else(|| {
            let (name, source) = (&self.output, &self.source);
            InferError::invalid_argument(format!("output '{name}' has the shape of input '{source}', which is missing"))
        })?;
        let expected: Option<u64> = shapes.iter().map(Shape::checked_element_count).sum();
        if expected != output.shape().checked_element_count() {
            return Err(InferError::internal(format!(
                "output '{}' has shape {}, but the shapes of input '{}' in the batch call for {} elements",
                self.output,
                output.shape(),
                self.source,
                expected.map_or_else(|| "too many".to_owned(), |elements| elements.to_string())
            )));
        }
        cut(&self.output, output, shapes.into_iter())
    }

    fn part(&self, source: &Shape) -> Option<Shape> {
        let extent = |(place, dim): (usize, &i64)| u64::try_from(*dim).ok().or_else(|| source.get(place).copied());
        self.dims.iter().enumerate().map(extent).collect()
    }
}

/// The one input that is meant, and its dims for the backend.
fn source_input<'a>(config: &'a ModelConfig, names: &'a [String]) -> Result<(&'a str, &'a [i64]), String> {
    let [name] = names else { return Err(format!("expected 1 source input, got {}", names.len())) };
    let input = config.inputs.iter().find(|input| input.name == *name);
    let input = input.ok_or_else(|| format!("unknown source input name '{name}'"))?;
    Ok((name, input.backend_dims()))
}

#[cfg(test)]
mod tests;
