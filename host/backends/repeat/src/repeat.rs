//! `repeat`: one response per element of the input, each after its delay.
//!
//! Tensors and texts are those of Triton's backend of this name: `IN` holds the elements, `DELAY` the milliseconds
//! before each response, `WAIT` the milliseconds for which the instance is held. Responses come from a task of their own,
//! before and after the execution has returned; `OUT` is the element, `IDX` its place. An empty `IN` has no response.
//! An instance whose client is gone is held no longer.

use std::{sync::Arc, time::Duration};

use nereid_backend::{Backend, Batch, ExecuteFuture, Instance, InstanceSpec, LoadedModel, TaskInstance};
use nereid_inference::{
    CheckedRequest, InferError, InferResponse, ModelConfig, ModelSource, NamedTensor, ResponseSender,
};
use nereid_tensor::{DataType, Tensor};
use tokio::{task::coop::consume_budget, time::sleep};

use crate::{
    responses::wait,
    tensors::{self, Dims, Expected},
};

const INPUTS: [Expected; 3] = [
    Expected { name: "IN", data_type: DataType::Int32, dims: Dims::Row },
    Expected { name: "DELAY", data_type: DataType::Uint32, dims: Dims::Row },
    Expected { name: "WAIT", data_type: DataType::Uint32, dims: Dims::One },
];

const OUTPUTS: [Expected; 2] = [
    Expected { name: "OUT", data_type: DataType::Int32, dims: Dims::One },
    Expected { name: "IDX", data_type: DataType::Uint32, dims: Dims::One },
];

/// The backend called `repeat`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepeatBackend;

struct RepeatModel;

struct RepeatInstance;

/// One request on its way.
struct Repetition {
    elements: Tensor,
    delays: Tensor,
    /// How long the instance is held.
    hold: Duration,
    wants_element: bool,
    wants_index: bool,
}

// === impl RepeatBackend ===

impl Backend for RepeatBackend {
    fn name(&self) -> &'static str {
        "repeat"
    }

    fn default_model_filename(&self) -> &'static str {
        ""
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        Ok(source.config.clone())
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        let config = &source.config;
        if config.max_batch_size != 0 {
            let text = "repeat backend only supports models with max_batch_size == 0";
            return Err(tensors::refused(config, text));
        }
        tensors::check(config, &INPUTS, &OUTPUTS)?;
        match config.inputs.as_slice() {
            [elements, delays, ..] if elements.backend_dims() != delays.backend_dims() => {
                let problem = shapes_differ(elements.backend_dims(), delays.backend_dims());
                Err(tensors::refused(config, &problem))
            }
            _ => Ok(Arc::new(RepeatModel)),
        }
    }

    fn supports_decoupled(&self) -> bool {
        true
    }
}

// === impl RepeatModel ===

impl LoadedModel for RepeatModel {
    fn new_instance(&self, _spec: &InstanceSpec) -> Result<Instance, InferError> {
        Ok(Instance::Task(Box::new(RepeatInstance)))
    }
}

// === impl RepeatInstance ===

impl TaskInstance for RepeatInstance {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            batch.mark_inputs_ready();
            let read: Vec<_> = batch.requests().map(Repetition::read).collect();
            for (index, repetition) in read.into_iter().enumerate() {
                match repetition {
                    Err(error) => batch.respond(index, Err(error)),
                    Ok(repetition) => {
                        if let Some(sender) = batch.take_sender(index) {
                            repetition.hold_instance(sender).await;
                        }
                    }
                }
            }
        })
    }
}

// === impl Repetition ===

impl Repetition {
    fn read(request: &CheckedRequest) -> Result<Self, InferError> {
        let input = |name: &str| {
            let missing = || InferError::invalid_argument(format!("the request has no input '{name}'"));
            request.input(name).ok_or_else(missing)
        };
        let (elements, delays) = (input("IN")?, input("DELAY")?);
        if elements.shape() != delays.shape() {
            let (elements, delays) = (elements.shape().to_signed(), delays.shape().to_signed());
            return Err(InferError::invalid_argument(shapes_differ(&elements, &delays)));
        }
        let hold = read_number(input("WAIT")?, 0).map(u32::from_ne_bytes);
        let hold = hold.ok_or_else(|| InferError::invalid_argument("unexpected size for WAIT input"))?;
        Ok(Self {
            elements: elements.clone(),
            delays: delays.clone(),
            hold: Duration::from_millis(hold.into()),
            wants_element: request.wants("OUT"),
            wants_index: request.wants("IDX"),
        })
    }

    /// Starts the responses and waits for as long as the request says, or until its client is gone.
    async fn hold_instance(self, sender: ResponseSender) {
        let hold = self.hold;
        let responses = tokio::spawn(self.respond(sender));
        if hold.is_zero() {
            return;
        }
        let gone = async {
            // A client that has got everything may still be there: only one that left early ends the wait.
            if responses.await.is_ok_and(|was_heard| was_heard) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(hold) => {}
            () = gone => {}
        }
    }

    /// Sends every response, then the end; returns whether the client heard all of it.
    async fn respond(self, mut sender: ResponseSender) -> bool {
        let mut is_heard = true;
        for index in 0..u32::try_from(self.elements.element_count()).unwrap_or(u32::MAX) {
            is_heard = wait(&sender, self.delay(index)).await && sender.send(self.response(index)).await;
            if !is_heard {
                break;
            }
            consume_budget().await;
        }
        sender.finish();
        is_heard
    }

    fn delay(&self, index: u32) -> Duration {
        let milliseconds = read_number(&self.delays, index).map_or(0, u32::from_ne_bytes);
        Duration::from_millis(milliseconds.into())
    }

    fn response(&self, index: u32) -> Result<InferResponse, InferError> {
        let element = read_number(&self.elements, index).map_or(0, i32::from_ne_bytes);
        let internal = |error| InferError::internal("cannot make a tensor of one element").with_source(error);
        let mut outputs = Vec::with_capacity(OUTPUTS.len());
        if self.wants_element {
            outputs.push(NamedTensor::new("OUT", Tensor::from_elements([1], &[element]).map_err(internal)?));
        }
        if self.wants_index {
            outputs.push(NamedTensor::new("IDX", Tensor::from_elements([1], &[index]).map_err(internal)?));
        }
        Ok(InferResponse::new(outputs))
    }
}

/// The bytes of a number of four bytes. Read where it lies: a copy of everything would cost most when little is heard.
fn read_number(tensor: &Tensor, index: u32) -> Option<[u8; 4]> {
    let start = usize::try_from(index).ok()?.checked_mul(4)?;
    tensor.buffer().as_slice().get(start..)?.first_chunk().copied()
}

fn shapes_differ(elements: &[i64], delays: &[i64]) -> String {
    format!("expected IN and DELAY shape to match, got {elements:?} and {delays:?}")
}

#[cfg(test)]
mod tests;
