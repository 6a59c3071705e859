//! Execution of a batch: gather, run once, hand out.
//!
//! Copies per tensor: inputs none for a batch of one (one gather for more, one where the memory is not aligned for the
//! elements); outputs none, either written into our memory by the library or lent by it until the response is gone;
//! strings one each way. Numbers in a client's shared memory are used in place, with one exception: integers and
//! booleans steer what the library does next, and it may read them twice, so they are copied out before and in after.
//!
//! On a GPU the run is over when it returns: the library waits for its own stream, so what it wrote is complete, and what it
//! read may go.

use std::sync::Arc;

use nereid_backend::{Batch, BlockingInstance, Parts, scatter};
use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use nereid_tensor::{Buffer, DataType, DeviceError, Shape, Tensor};
use ort::{
    ErrorCode,
    session::{RunOptions, Session},
};

use crate::{
    binding::run_bound,
    device::{Device, gathers_on_device},
    input::PreparedInput,
    iterate,
    output::{Outputs, WantedOutput},
    plan::{Plan, PlannedTensor},
    run::run,
    value::RuntimeTensor,
};

/// One of several that share a session; it holds nothing of its own but the thread that it runs on, and on a GPU a stream
/// for its copies.
pub(crate) struct OnnxInstance {
    pub(crate) session: Arc<Session>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) run_options: Option<RunOptions>,
    /// The GPU that the session is on.
    pub(crate) device: Option<Device>,
}

// === impl OnnxInstance ===

impl BlockingInstance for OnnxInstance {
    fn execute(&mut self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        match self.answer(batch) {
            Ok(responses) => {
                for (index, response) in responses.into_iter().enumerate() {
                    iterate::conclude(batch, index, response, self.plan.iterate_while.as_deref());
                }
            }
            Err(error) => batch.fail_all(&error),
        }
    }

    fn takes_device_memory(&self) -> bool {
        self.device.is_some()
    }
}

impl OnnxInstance {
    fn answer(&self, batch: &mut Batch) -> Result<Vec<InferResponse>, InferError> {
        if !self.plan.batching && batch.len() > 1 {
            let (name, requests) = (&self.plan.model_name, batch.len());
            let text = format!("model '{name}' does not batch, and got {requests} requests in one execution");
            return Err(InferError::internal(text));
        }
        let inputs = self.prepare(batch)?;
        let wanted = self.wanted(batch)?;
        batch.mark_inputs_ready();
        let outputs = self.run(&inputs, wanted)?;
        batch.mark_outputs_started();
        self.hand_out(batch, outputs)
    }

    fn prepare(&self, batch: &Batch) -> Result<Vec<PreparedInput<'_>>, InferError> {
        let plan = &self.plan;
        let mut inputs = Vec::with_capacity(plan.inputs.len() + plan.batch_inputs.len());
        for planned in &plan.inputs {
            // An optional input that no request brings is left to the model's own default.
            let Some(tensor) = self.gather(batch, &planned.name)? else { continue };
            inputs.push(PreparedInput::new(planned, tensor));
        }
        for (planned, made) in plan.batch_inputs.iter().zip(plan.forms.tensors()) {
            let tensor = made.make(batch).map_err(|error| error.prefixed(&self.prefix()))?;
            inputs.push(PreparedInput::new(planned, tensor));
        }
        Ok(inputs)
    }

    /// The input of the whole batch, where the session can read it.
    fn gather(&self, batch: &Batch, name: &str) -> Result<Option<Tensor>, InferError> {
        let forms = &self.plan.forms;
        let Some(device) = &self.device else { return forms.gather(batch, name) };
        let Some(parts) = forms.parts(batch, name)? else { return Ok(None) };
        let failed = |error: DeviceError| self.lacking(&format!("input '{name}'"), &error);
        let placed = match *parts.tensors {
            [_alone] => device.place(parts.joined()?),
            _ if gathers_on_device(&parts) => device.gather(&parts),
            _ => return on_host(&parts).map_err(failed)?.map(Some),
        };
        placed.map(Some).map_err(failed)
    }

    fn wanted(&self, batch: &Batch) -> Result<Vec<WantedOutput<'_>>, InferError> {
        let is_wanted = |planned: &&PlannedTensor| {
            self.plan.iterates_by(&planned.name) || batch.requests().any(|request| request.wants(&planned.name))
        };
        let takes_device_memory = batch.requests().any(|request| request.get().takes_device_memory);
        let device = self.device.as_ref().filter(|_| takes_device_memory);
        let outputs = Outputs { batch, batching: self.plan.batching, device };
        let wanted = self.plan.outputs.iter().filter(is_wanted).map(|planned| {
            outputs.want(planned).map_err(|error| self.lacking(&format!("output '{}'", planned.name), &error))
        });
        wanted.collect()
    }

    fn run(
        &self,
        inputs: &[PreparedInput<'_>],
        mut wanted: Vec<WantedOutput<'_>>,
    ) -> Result<Vec<(Arc<str>, Tensor)>, InferError> {
        let (failed, device) = (|error: ort::Error| self.failed(error), self.device.as_ref());
        let inputs = inputs.iter().map(|input| input.view(device)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let slots = wanted.iter_mut().map(|output| output.slot(device)).collect::<Result<Vec<_>, _>>();
        let mut slots = slots.map_err(failed)?;
        let call = (&*self.session, self.run_options.as_ref());
        let done = match device.filter(|_| slots.iter().any(|slot| slot.on_device)) {
            Some(device) => run_bound(call, &inputs, (&mut slots, device.memory_info())),
            None => run(call, &inputs, &mut slots),
        };
        done.map_err(|error| {
            device.inspect(|device| device.settle());
            self.failed(error)
        })?;
        // Tensors over our memory are let go; those that the library allocated go on.
        let theirs: Vec<Option<RuntimeTensor<'static>>> = slots.into_iter().map(|slot| slot.theirs).collect();
        let outputs = wanted.into_iter().zip(theirs).map(|(output, theirs)| {
            let name = output.planned.name.clone();
            Ok((name, self.finish(output, theirs)?))
        });
        outputs.collect()
    }

    /// The output as a tensor of ours.
    fn finish(&self, output: WantedOutput<'_>, theirs: Option<RuntimeTensor<'static>>) -> Result<Tensor, InferError> {
        let (planned, on_device) = (output.planned, output.on_device);
        let (shape, buffer) = match (output.written(), theirs) {
            (Some(written), _) => written,
            (None, Some(tensor)) => self.take(planned, tensor, on_device)?,
            (None, None) => return Err(self.broken(planned, "was not computed")),
        };
        Tensor::new(planned.data_type, planned.output_shape(shape), buffer)
            .map_err(|error| self.broken(planned, &error.to_string()))
    }

    /// Shape and elements of a tensor that the library allocated.
    fn take(
        &self,
        planned: &PlannedTensor,
        tensor: RuntimeTensor<'static>,
        on_device: bool,
    ) -> Result<(Shape, Buffer), InferError> {
        let gpu = self.device.as_ref().filter(|_| on_device).map(Device::gpu);
        let (data_type, shape) = tensor.layout().map_err(|error| self.failed(error))?;
        if data_type != Some(planned.data_type) {
            let found = data_type.map_or("of a type that cannot be served", DataType::name);
            return Err(self.broken(planned, &format!("is {found}, expected {}", planned.data_type)));
        }
        let too_large = || self.broken(planned, "is too large");
        let elements = shape.checked_element_count().and_then(|count| usize::try_from(count).ok());
        let buffer = match planned.data_type {
            DataType::Bytes => tensor.encoded_strings(elements.ok_or_else(too_large)?),
            data_type => {
                let length_bytes = shape.byte_size(data_type).ok_or_else(too_large)?;
                match gpu {
                    Some(gpu) => tensor.into_device_buffer(length_bytes, (self.session.clone(), gpu.clone())),
                    None => tensor.into_buffer(length_bytes, self.session.clone()),
                }
            }
        };
        Ok((shape, buffer.map_err(|error| self.failed(error))?))
    }

    fn hand_out(&self, batch: &Batch, outputs: Vec<(Arc<str>, Tensor)>) -> Result<Vec<InferResponse>, InferError> {
        let mut responses: Vec<InferResponse> = batch.requests().map(|_| InferResponse::default()).collect();
        let rows: Vec<u64> = batch.requests().map(CheckedRequest::batch_size).collect();
        for (name, output) in outputs {
            let parts = match (self.plan.forms.cut_of(&name), self.plan.batching) {
                (Some(cut), _) => cut.hand_out(batch, &output),
                (None, true) => scatter(&name, output, &rows),
                (None, false) => Ok(vec![output]),
            };
            let parts = parts.map_err(|error| error.prefixed(&self.prefix()))?;
            for ((response, request), tensor) in responses.iter_mut().zip(batch.requests()).zip(parts) {
                if self.plan.iterates_by(&name) || request.wants(&name) {
                    response.outputs.push(NamedTensor::new(name.clone(), tensor));
                }
            }
        }
        Ok(responses)
    }

    fn prefix(&self) -> String {
        format!("model '{}': ", self.plan.model_name)
    }

    /// The library's error, whose own words follow Triton's prefix.
    fn failed(&self, error: ort::Error) -> InferError {
        let text = format!("{}onnx runtime error {}: {}", self.prefix(), error.code() as u32, error.message());
        match error.code() {
            ErrorCode::InvalidArgument => InferError::invalid_argument(text),
            _ => InferError::internal(text),
        }
    }

    fn lacking(&self, tensor: &str, error: &DeviceError) -> InferError {
        InferError::internal(format!("{}{tensor} on {error}", self.prefix()))
    }

    fn broken(&self, planned: &PlannedTensor, text: &str) -> InferError {
        InferError::internal(format!("{}output '{}' {text}", self.prefix(), planned.name))
    }
}

/// The whole on the host, where reading a device may fail.
fn on_host(parts: &Parts<'_>) -> Result<Result<Tensor, InferError>, DeviceError> {
    let tensors = parts.tensors.iter().map(|tensor| tensor.on_host()).collect::<Result<Vec<_>, _>>()?;
    Ok(Parts { data_type: parts.data_type, shape: parts.shape.clone(), tensors: tensors.iter().collect() }.joined())
}
