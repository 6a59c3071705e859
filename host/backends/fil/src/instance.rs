//! Execution of a batch: gather, evaluate into our own memory, hand out.
//!
//! Copies: rows none for a batch of one (one gather for more, one where the memory is not aligned); scores none, classes
//! are made from scores beside them. SHAP values are computed when a request asks for them.

use std::sync::Arc;

use nereid_backend::{Batch, BlockingInstance, gather, scatter};
use nereid_forest::{Evaluator, Explainer, Threads};
use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use nereid_tensor::{BufferMut, DataType, Shape, Tensor};

use crate::shape::{Answer, AnswerShape, INPUT, OUTPUT, SHAP_OUTPUT};

/// What every execution of a model does alike.
pub(crate) struct Plan {
    pub(crate) model_name: String,
    pub(crate) batching: bool,
    pub(crate) shape: AnswerShape,
    pub(crate) evaluator: Evaluator,
    /// Where the configuration lists SHAP values, and the dims of those of one row.
    pub(crate) explainer: Option<(Explainer, Vec<u64>)>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) threads_max: usize,
}

/// Bytes of the SHAP values of one execution. They are as many as features times scores, for each row.
const SHAP_BYTES_MAX: usize = 1 << 30;

/// One of several that share a forest.
pub(crate) struct FilInstance {
    pub(crate) plan: Arc<Plan>,
}

// === impl FilInstance ===

impl FilInstance {
    fn run(&self, batch: &mut Batch) -> Result<(), InferError> {
        self.plan.check(batch)?;
        let input = rows(batch)?;
        batch.mark_inputs_ready();
        let is_wanted = batch.requests().any(|request| request.wants(OUTPUT));
        let answers = match is_wanted {
            true => Some(self.plan.answers(&input)?),
            false => None,
        };
        let values = self.plan.shap_values(batch)?;
        batch.mark_outputs_started();
        self.plan.respond(batch, answers, values)
    }
}

impl BlockingInstance for FilInstance {
    fn execute(&mut self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.run(batch) {
            batch.fail_all(&error.prefixed(&format!("model '{}': ", self.plan.model_name)));
        }
    }
}

// === impl Plan ===

impl Plan {
    /// # Errors
    /// Several requests at once, of a model that does not batch.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), InferError> {
        match self.batching || batch.len() < 2 {
            true => Ok(()),
            false => Err(InferError::internal(format!("it does not batch, and got {} requests at once", batch.len()))),
        }
    }

    /// Answers all requests.
    ///
    /// # Errors
    /// An output cannot be cut into the requests' parts.
    pub(crate) fn respond(
        &self,
        batch: &mut Batch,
        answers: Option<Tensor>,
        values: Option<Tensor>,
    ) -> Result<(), InferError> {
        let mut responses: Vec<InferResponse> = batch.requests().map(|_| InferResponse::default()).collect();
        for (name, output) in [(OUTPUT, answers), (SHAP_OUTPUT, values)] {
            if let Some(output) = output {
                self.hand_out(batch, name, output, &mut responses)?;
            }
        }
        for (index, response) in responses.into_iter().enumerate() {
            batch.respond(index, Ok(response));
        }
        Ok(())
    }

    /// The answers to all rows, in the shape of the rows.
    fn answers(&self, input: &Tensor) -> Result<Tensor, InferError> {
        let rows = input.elements::<f32>().ok_or_else(|| InferError::internal("the rows are not FP32"))?;
        let shape = output_shape(input.shape(), &[self.shape.length as u64]);
        let row_count = rows.len() / self.shape.feature_count;
        let mut memory = BufferMut::zeroed(row_count * self.shape.length * size_of::<f32>());
        let answers = floats(&mut memory)?;
        let threads = Some((&*self.threads, self.threads_max));
        match self.shape.answer {
            Answer::Scores => self.evaluator.scores(&rows, answers, threads),
            _ => {
                let mut scores = vec![0.0; row_count * self.evaluator.output_count()];
                self.evaluator.scores(&rows, &mut scores, threads);
                self.shape.answer(&scores, self.evaluator.classes(), answers);
            }
        }
        tensor(shape, memory)
    }

    /// The SHAP values of all rows, where a request asks for them.
    ///
    /// # Errors
    /// They would be too many.
    pub(crate) fn shap_values(&self, batch: &Batch) -> Result<Option<Tensor>, InferError> {
        match &self.explainer {
            Some((explainer, dims)) if batch.requests().any(|request| request.wants(SHAP_OUTPUT)) => {
                self.values(&rows(batch)?, explainer, dims).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn values(&self, input: &Tensor, explainer: &Explainer, dims: &[u64]) -> Result<Tensor, InferError> {
        let rows = input.elements::<f32>().ok_or_else(|| InferError::internal("the rows are not FP32"))?;
        let row_count = rows.len() / self.shape.feature_count;
        let length = row_count.checked_mul(explainer.value_count() * size_of::<f32>());
        let length = length.filter(|length| *length <= SHAP_BYTES_MAX).ok_or_else(|| {
            InferError::invalid_argument(format!(
                "SHAP values of {row_count} rows are {} numbers each, but one execution gives at most {SHAP_BYTES_MAX} \
                 bytes: send fewer rows, or set a smaller max_batch_size",
                explainer.value_count()
            ))
        })?;
        let mut memory = BufferMut::zeroed(length);
        explainer.explain(&rows, floats(&mut memory)?, Some((&*self.threads, self.threads_max)));
        tensor(output_shape(input.shape(), dims), memory)
    }

    fn hand_out(
        &self,
        batch: &Batch,
        name: &str,
        output: Tensor,
        responses: &mut [InferResponse],
    ) -> Result<(), InferError> {
        let rows: Vec<u64> = batch.requests().map(CheckedRequest::batch_size).collect();
        let parts = if self.batching { scatter(name, output, &rows)? } else { vec![output] };
        for ((response, request), tensor) in responses.iter_mut().zip(batch.requests()).zip(parts) {
            if request.wants(name) {
                response.outputs.push(NamedTensor::new(name, tensor));
            }
        }
        Ok(())
    }
}

/// The rows of all requests, in memory of the host.
fn rows(batch: &Batch) -> Result<Tensor, InferError> {
    gather(batch, INPUT)?.ok_or_else(|| InferError::internal(format!("'{INPUT}' is missing")))
}

/// The shape of the rows with other dims instead of the features.
pub(crate) fn output_shape(input: &Shape, dims: &[u64]) -> Shape {
    let rows = input.split_last().map(|(_, rows)| rows).unwrap_or_default();
    rows.iter().chain(dims).copied().collect()
}

fn floats(memory: &mut BufferMut) -> Result<&mut [f32], InferError> {
    bytemuck::try_cast_slice_mut(memory.as_mut_slice())
        .map_err(|error| InferError::internal(format!("memory of the answers: {error}")))
}

fn tensor(shape: Shape, memory: BufferMut) -> Result<Tensor, InferError> {
    Tensor::new(DataType::Fp32, shape, memory.freeze()).map_err(|error| InferError::internal(error.to_string()))
}
