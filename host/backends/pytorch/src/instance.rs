//! Execution of a batch: gather, run once, hand out.
//!
//! Copies per tensor, on the CPU: inputs none for a batch of one (one gather for more, one where they cannot be used where
//! they are: `input.rs`); outputs none, lent by LibTorch until the response is gone, unless the model may change them later.
//! On a device: inputs one to the device, none for what is there already; outputs none where the callers take them on
//! the device, else one to the host.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use nereid_backend::{Batch, BlockingInstance, Parts, scatter};
use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use nereid_tensor::{Buffer, BufferMut, Shape, Tensor};

use crate::{
    failure::sentence,
    ffi::{Argument, Memory, Model, OnDevice, Output, Stream},
    input,
    plan::{Plan, PlannedInput, PlannedOutput},
};

/// One of several that may share a model.
pub(crate) struct PytorchInstance {
    pub(crate) model: Arc<Model>,
    pub(crate) plan: Arc<Plan>,
    /// For a model on a device.
    pub(crate) stream: Option<Stream>,
    /// Why the device is of no use any more; said by the first instance that finds it.
    pub(crate) lost_device: Arc<OnceLock<String>>,
}

// === impl PytorchInstance ===

impl BlockingInstance for PytorchInstance {
    fn execute(&mut self, batch: &mut Batch) {
        batch.answer_all(|batch| self.answer(batch));
    }

    fn takes_device_memory(&self) -> bool {
        self.stream.is_some()
    }
}

impl PytorchInstance {
    fn answer(&self, batch: &mut Batch) -> Result<Vec<InferResponse>, InferError> {
        let plan = &self.plan;
        if !plan.batching && batch.len() > 1 {
            return Err(
                self.internal(format_args!("does not batch, and got {} requests in one execution", batch.len()))
            );
        }
        let arguments = self.arguments(batch)?;
        let open: Vec<Range<usize>> = arguments.iter().flat_map(open_memory).collect();
        batch.mark_inputs_ready();
        // As soon as one caller takes them there; for the others they are copied when the batch is answered.
        let keeps_outputs = batch.requests().any(|request| request.get().takes_device_memory);
        let on_device =
            self.stream.as_ref().map(|stream| OnDevice { stream, keeps_outputs, copies_outputs: plan.writes_itself });
        let outputs = self.model.run(&plan.settings, arguments, on_device).map_err(|text| self.failed(&text))?;
        batch.mark_outputs_started();
        let wanted = plan.outputs.iter().filter(|planned| batch.requests().any(|request| request.wants(&planned.name)));
        let finish = |planned| -> Result<_, String> {
            let tensor = self.finish(planned, find(planned, &outputs)?, &open)?;
            Ok((planned, if keeps_outputs { tensor } else { on_host(&planned.name, &tensor)? }))
        };
        let tensors = wanted.map(finish).collect::<Result<Vec<_>, String>>().map_err(|text| self.internal(text))?;
        self.hand_out(batch, tensors)
    }

    fn arguments(&self, batch: &Batch) -> Result<Vec<Argument>, InferError> {
        let mut arguments = Vec::with_capacity(self.plan.inputs.len());
        let mut left_out: Option<&PlannedInput> = None;
        for planned in &self.plan.inputs {
            match (self.argument(batch, planned)?, left_out) {
                (None, _) => left_out = left_out.or(Some(planned)),
                (Some(_), Some(earlier)) if planned.key.is_none() => {
                    return Err(InferError::invalid_argument(format!(
                        "model '{}': input '{}' is an argument before '{}' and cannot be left out when that is given",
                        self.plan.model_name, earlier.name, planned.name
                    )));
                }
                (Some(argument), _) => arguments.push(argument),
            }
        }
        Ok(arguments)
    }

    /// `None` for an optional input that no request brings.
    fn argument(&self, batch: &Batch, planned: &PlannedInput) -> Result<Option<Argument>, InferError> {
        let (plan, forms) = (&*self.plan, &self.plan.forms);
        let on_device = |parts: &Parts<'_>| input::argument_on_device(plan, planned, parts);
        let made = planned.made.and_then(|index| forms.tensors().get(index));
        let made = made.map(|made| made.make(batch).map_err(|error| error.prefixed(&self.prefix()))).transpose()?;
        if self.stream.is_none() {
            let tensor = made.map_or_else(|| forms.gather(batch, &planned.name), |made| Ok(Some(made)))?;
            return Ok(tensor.map(|tensor| input::argument(plan, planned, tensor)));
        }
        Ok(match &made {
            Some(tensor) => Some(on_device(&Parts {
                data_type: tensor.data_type(),
                shape: tensor.shape().clone(),
                tensors: vec![tensor],
            })),
            None => forms.parts(batch, &planned.name)?.as_ref().map(on_device),
        })
    }

    /// The output as a tensor of ours.
    fn finish(&self, planned: &PlannedOutput, output: &Output, open: &[Range<usize>]) -> Result<Tensor, String> {
        let name = &planned.name;
        if output.data_type != Some(planned.data_type) {
            let found = output.data_type.map_or("a type that cannot be served", |found| found.name());
            let expected = planned.data_type;
            return Err(format!(
                "the configuration expects {expected} for output '{name}', the model provides {found}"
            ));
        }
        let wrong = |text: String| format!("output '{name}' {text}");
        let shape = Shape::from_signed(&output.shape).map_err(|error| wrong(error.to_string()))?;
        let lies_in = |memory: &Range<usize>| memory.contains(&output.buffer.as_slice().as_ptr().addr());
        // On a device LibTorch copied it if need be.
        let is_on_host = output.buffer.device().is_none();
        let may_change = is_on_host && (self.plan.writes_itself || open.iter().any(lies_in));
        let buffer: Buffer = match may_change {
            true => BufferMut::copy_of(output.buffer.as_slice()).freeze(),
            false => output.buffer.clone(),
        };
        Tensor::new(planned.data_type, planned.shape(shape), buffer).map_err(|error| wrong(error.to_string()))
    }

    fn hand_out(
        &self,
        batch: &Batch,
        outputs: Vec<(&PlannedOutput, Tensor)>,
    ) -> Result<Vec<InferResponse>, InferError> {
        let mut responses: Vec<InferResponse> = batch.requests().map(|_| InferResponse::default()).collect();
        let rows: Vec<u64> = batch.requests().map(CheckedRequest::batch_size).collect();
        for (planned, output) in outputs {
            let name = &planned.name;
            let parts = match (self.plan.forms.cut_of(name), self.plan.batching) {
                (Some(cut), _) => cut.hand_out(batch, &output),
                (None, true) => scatter(name, output, &rows),
                (None, false) => Ok(vec![output]),
            };
            let parts = parts.map_err(|error| error.prefixed(&self.prefix()))?;
            for ((response, request), tensor) in responses.iter_mut().zip(batch.requests()).zip(parts) {
                if request.wants(name) {
                    response.outputs.push(NamedTensor::new(name.clone(), tensor));
                }
            }
        }
        Ok(responses)
    }

    fn prefix(&self) -> String {
        format!("model '{}': ", self.plan.model_name)
    }

    fn internal(&self, text: impl std::fmt::Display) -> InferError {
        InferError::internal(format!("{}{text}", self.prefix()))
    }

    /// LibTorch's sentence behind Triton's words; the traceback is for the log.
    fn failed(&self, text: &str) -> InferError {
        tracing::debug!("{}PyTorch execute failure: {text}", self.prefix());
        self.look_after_device();
        self.internal(format_args!("PyTorch execute failure: {}", sentence(text)))
    }

    /// What was found on the device after a failure; said once.
    fn look_after_device(&self) {
        let Some(Err(text)) = self.stream.as_ref().map(Stream::check_device) else { return };
        let problem = sentence(&text);
        if self.lost_device.set(problem.to_owned()).is_ok() {
            tracing::error!("{}its GPU cannot be used until the server starts again: {problem}", self.prefix());
        }
    }
}

/// The whole at once, before it is handed out in parts.
fn on_host(name: &str, tensor: &Tensor) -> Result<Tensor, String> {
    tensor.on_host().map_err(|error| format!("output '{name}' could not be brought to the host: {error}"))
}

/// The output that is meant among those that the model gave.
fn find<'o>(planned: &PlannedOutput, outputs: &'o [Output]) -> Result<&'o Output, String> {
    let name = &planned.name;
    let keys: Vec<&str> = outputs.iter().filter_map(|output| output.key.as_deref()).collect();
    if keys.is_empty() {
        let (place, count) = (planned.place, outputs.len());
        let missing = || format!("output '{name}' is number {place}, counted from 0, and the model gives {count}");
        return outputs.get(place).ok_or_else(missing);
    }
    let named = outputs.iter().find(|output| output.key.as_deref() == Some(name));
    named.ok_or_else(|| format!("the model gives no output '{name}'; its dictionary has {}", keys.join(", ")))
}

/// Where an argument lies on the host that a client can change: an output in there is copied.
fn open_memory(argument: &Argument) -> impl Iterator<Item = Range<usize>> {
    argument.parts.iter().filter_map(|part| {
        let Memory::Shared(tensor) = &part.memory else { return None };
        let is_open = tensor.buffer().is_external() && tensor.buffer().device().is_none();
        let bytes = is_open.then(|| tensor.buffer().as_slice().as_ptr_range())?;
        Some(bytes.start.addr()..bytes.end.addr())
    })
}
