//! Execution of a batch: gather, run once, hand out.
//!
//! Copies per tensor: one in and one out. OpenVINO keeps the address of an input until it gets another, and writes the
//! next outputs where the last ones are. Nothing of a request is used after its execution began, so that a client may change
//! its shared memory as it likes.

use std::sync::Arc;

use nereid_backend::{Batch, BlockingInstance, gather, scatter};
use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use nereid_tensor::{BufferMut, DataType, Shape, Tensor};

use crate::{
    agree::{Plan, PlannedTensor},
    ffi::Request,
    narrowed,
};

/// One of several on a compiled model.
pub(crate) struct OpenvinoInstance {
    pub(crate) request: Request,
    pub(crate) plan: Arc<Plan>,
}

// === impl OpenvinoInstance ===

impl BlockingInstance for OpenvinoInstance {
    fn execute(&mut self, batch: &mut Batch) {
        if refuse_what_does_not_fit(&self.plan, batch) < batch.len() {
            batch.answer_all(|batch| self.answer(batch));
        }
    }
}

impl OpenvinoInstance {
    fn answer(&mut self, batch: &mut Batch) -> Result<Vec<InferResponse>, InferError> {
        let plan = self.plan.clone();
        if !plan.batching && batch.len() > 1 {
            let text = format!("does not batch, and got {} requests in one execution", batch.len());
            return Err(internal(&plan, &text));
        }
        for planned in &plan.inputs {
            let missing = || internal(&plan, &format!("input '{}' is missing", planned.name));
            let tensor = gather(batch, &planned.name)?.ok_or_else(missing)?;
            self.set_input(planned, &tensor).map_err(|error| failed(&plan, &error))?;
        }
        batch.mark_inputs_ready();
        self.request.infer().map_err(|error| failed(&plan, &error))?;
        batch.mark_outputs_started();
        let wanted = plan.outputs.iter().filter(|planned| batch.requests().any(|request| request.wants(&planned.name)));
        let outputs = wanted.map(|planned| {
            let output = self.output(planned);
            Ok((planned, output.map_err(|text| internal(&plan, &format!("output '{}': {text}", planned.name)))?))
        });
        hand_out(&plan, batch, outputs.collect::<Result<_, InferError>>()?)
    }

    fn set_input(&mut self, planned: &PlannedTensor, tensor: &Tensor) -> Result<(), String> {
        let mut elements = BufferMut::copy_of(tensor.buffer().as_slice());
        if planned.data_type == DataType::Bool {
            // Another value than 0 and 1 is undefined behaviour in C++.
            elements.as_mut_slice().iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        let dims = planned.file_shape(tensor.shape()).to_signed();
        self.request.set_input(planned.index, planned.element_type, &dims, elements)
    }

    fn output(&self, planned: &PlannedTensor) -> Result<Tensor, String> {
        let (dims, buffer) = self.request.output(planned.index)?;
        let shape = Shape::from_signed(&dims).map_err(|error| error.to_string())?;
        Tensor::new(planned.data_type, planned.output_shape(shape), buffer).map_err(|error| error.to_string())
    }
}

/// Answers those requests that hold numbers which OpenVINO would cut, and says how many they are. The others are executed
/// beside them: rows do not touch each other, and the first answer counts.
fn refuse_what_does_not_fit(plan: &Plan, batch: &mut Batch) -> usize {
    let check = |request: &CheckedRequest| {
        let mut inputs = plan.inputs.iter().filter_map(|planned| Some((planned, request.input(&planned.name)?)));
        inputs.try_for_each(|(planned, tensor)| narrowed::check(planned, tensor)).err()
    };
    let refused: Vec<_> =
        batch.requests().enumerate().filter_map(|(index, request)| Some((index, check(request)?))).collect();
    for (index, text) in &refused {
        batch.respond(*index, Err(InferError::invalid_argument(format!("{}{text}", prefix(plan)))));
    }
    refused.len()
}

fn hand_out(
    plan: &Plan,
    batch: &Batch,
    outputs: Vec<(&PlannedTensor, Tensor)>,
) -> Result<Vec<InferResponse>, InferError> {
    let mut responses: Vec<InferResponse> = batch.requests().map(|_| InferResponse::default()).collect();
    let rows: Vec<u64> = batch.requests().map(CheckedRequest::batch_size).collect();
    for (planned, output) in outputs {
        let parts = match plan.batching {
            true => scatter(&planned.name, output, &rows).map_err(|error| error.prefixed(&prefix(plan)))?,
            false => vec![output],
        };
        for ((response, request), tensor) in responses.iter_mut().zip(batch.requests()).zip(parts) {
            if request.wants(&planned.name) {
                response.outputs.push(NamedTensor::new(planned.name.clone(), tensor));
            }
        }
    }
    Ok(responses)
}

fn prefix(plan: &Plan) -> String {
    format!("model '{}': ", plan.model_name)
}

fn internal(plan: &Plan, text: &str) -> InferError {
    InferError::internal(format!("{}{text}", prefix(plan)))
}

fn failed(plan: &Plan, text: &str) -> InferError {
    internal(plan, &format!("OpenVINO execute failure: {text}"))
}
