//! `square`: as many responses as the input says, each of them that number.
//!
//! Tensors, parameters and texts are those of Triton's backend of this name: `IN` and `OUT` are one INT32;
//! `CUSTOM_INFER_DELAY_NS` and `CUSTOM_OUTPUT_DELAY_NS` come before each response, `CUSTOM_CANCEL_DELAY_NS` after the
//! client was found gone; of the responses the last `CUSTOM_EMPTY_COUNT` are left out and as many as
//! `CUSTOM_FAIL_COUNT` says before these are errors. Delays are timers, whose step is a millisecond.

use std::{sync::Arc, time::Duration};

use nereid_backend::{Backend, Batch, ExecuteFuture, Instance, InstanceSpec, LoadedModel, TaskInstance};
use nereid_inference::{
    CheckedRequest, InferError, InferResponse, ModelConfig, ModelSource, NamedTensor, ResponseSender,
};
use nereid_tensor::{DataType, Shape, Tensor};
use tokio::{task::coop::consume_budget, time::sleep};

use crate::{
    responses::wait,
    tensors::{self, Dims, Expected},
};

const INPUTS: [Expected; 1] = [Expected { name: "IN", data_type: DataType::Int32, dims: Dims::One }];
const OUTPUTS: [Expected; 1] = [Expected { name: "OUT", data_type: DataType::Int32, dims: Dims::One }];

/// The backend called `square`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SquareBackend;

/// What the model's parameters say.
#[derive(Clone, Copy, Debug)]
struct Settings {
    infer_delay: Duration,
    output_delay: Duration,
    cancel_delay: Duration,
    failures: u64,
    omissions: u64,
}

struct SquareModel(Settings);

struct SquareInstance(Settings);

/// One request on its way.
struct Square {
    settings: Settings,
    number: i32,
    shape: Shape,
}

// === impl SquareBackend ===

impl Backend for SquareBackend {
    fn name(&self) -> &'static str {
        "square"
    }

    fn default_model_filename(&self) -> &'static str {
        ""
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        Ok(source.config.clone())
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        tensors::check(&source.config, &INPUTS, &OUTPUTS)?;
        Ok(Arc::new(SquareModel(Settings::read(&source.config)?)))
    }

    fn supports_decoupled(&self) -> bool {
        true
    }
}

// === impl Settings ===

impl Settings {
    fn read(model_config: &ModelConfig) -> Result<Self, InferError> {
        let number = |name: &str| {
            let Some(text) = model_config.parameter(name) else { return Ok(0) };
            text.trim().parse::<u64>().map_err(|_| {
                let problem = format!("parameter '{name}' is '{text}', expected a whole number");
                tensors::refused(model_config, &problem)
            })
        };
        Ok(Self {
            infer_delay: Duration::from_nanos(number("CUSTOM_INFER_DELAY_NS")?),
            output_delay: Duration::from_nanos(number("CUSTOM_OUTPUT_DELAY_NS")?),
            cancel_delay: Duration::from_nanos(number("CUSTOM_CANCEL_DELAY_NS")?),
            failures: number("CUSTOM_FAIL_COUNT")?,
            omissions: number("CUSTOM_EMPTY_COUNT")?,
        })
    }
}

// === impl SquareModel ===

impl LoadedModel for SquareModel {
    fn new_instance(&self, _spec: &InstanceSpec) -> Result<Instance, InferError> {
        Ok(Instance::Task(Box::new(SquareInstance(self.0))))
    }
}

// === impl SquareInstance ===

impl TaskInstance for SquareInstance {
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a> {
        Box::pin(async move {
            batch.mark_inputs_ready();
            let read: Vec<_> = batch.requests().map(|request| Square::read(request, self.0)).collect();
            for (index, square) in read.into_iter().enumerate() {
                match square {
                    Err(error) => batch.respond(index, Err(error)),
                    Ok(square) => {
                        if let Some(sender) = batch.take_sender(index) {
                            tokio::spawn(square.respond(sender));
                        }
                    }
                }
            }
        })
    }
}

// === impl Square ===

impl Square {
    fn read(request: &CheckedRequest, settings: Settings) -> Result<Self, InferError> {
        let unexpected = || InferError::invalid_argument("unexpected shape for IN input");
        let input = request.input("IN").ok_or_else(unexpected)?;
        let number = match input.elements::<i32>().as_deref() {
            Some([number]) => *number,
            _ => return Err(unexpected()),
        };
        if number < 0 {
            let text = format!("IN is {number}, which is no number of responses; expected 0 or more");
            return Err(InferError::invalid_argument(text));
        }
        Ok(Self { settings, number, shape: input.shape().clone() })
    }

    async fn respond(self, mut sender: ResponseSender) {
        let Settings { infer_delay, output_delay, cancel_delay, failures, omissions } = self.settings;
        let responses = u64::from(self.number.unsigned_abs()).saturating_sub(omissions);
        for index in 0..responses {
            let is_failure = index >= responses.saturating_sub(failures);
            let is_heard = wait(&sender, infer_delay).await
                && wait(&sender, output_delay).await
                && sender.send(self.response(is_failure)).await;
            if !is_heard {
                sleep(cancel_delay).await;
                break;
            }
            consume_budget().await;
        }
        sender.finish();
    }

    fn response(&self, is_failure: bool) -> Result<InferResponse, InferError> {
        if is_failure {
            return Err(InferError::internal("simulated failure"));
        }
        let output = Tensor::from_elements(self.shape.clone(), &[self.number]);
        let output = output.map_err(|error| InferError::internal("cannot make the output").with_source(error))?;
        Ok(InferResponse::new(vec![NamedTensor::new("OUT", output)]))
    }
}

#[cfg(test)]
mod tests;
