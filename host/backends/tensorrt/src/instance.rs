//! Execution of a batch: inputs to the device, one execution, outputs on the device.
//!
//! Copies per tensor: inputs none where the only request has it on this device, where allocations begin and to itself, else
//! one per request; outputs none for callers who take them on the device, else one to the host when the batch is answered. By
//! a CUDA graph inputs always one per request, and outputs one more, on the device.

use std::{ffi::CStr, sync::Arc};

use nereid_backend::{Batch, BatchForms, BlockingInstance, Parts, scatter};
use nereid_gpu::{DeviceAllocation, GpuStream};
use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use nereid_tensor::{Buffer, DeviceError, Shape, Tensor};

use crate::{
    ffi::{Context, InputView},
    graphs::Graphs,
    model::{Plan, byte_size},
    profiles::{self, Extents},
};

/// What TensorRT demands of the address of a tensor.
const ALIGNMENT_BYTES: usize = 256;

/// An output.
type Written = (Extents, DeviceAllocation);

/// One of several that share an engine, each with contexts of its own.
pub(crate) struct TensorrtInstance {
    pub(crate) plan: Arc<Plan>,
    pub(crate) graphs: Graphs,
    /// One for each profile of the plan.
    pub(crate) contexts: Vec<Context>,
    pub(crate) stream: GpuStream,
    /// Gone with the instance, for who counts what it occupies.
    pub(crate) _alive: Arc<()>,
}

// === impl TensorrtInstance ===

impl BlockingInstance for TensorrtInstance {
    fn execute(&mut self, batch: &mut Batch) {
        batch.answer_all(|batch| self.answer(batch));
    }

    fn takes_device_memory(&self) -> bool {
        true
    }
}

impl TensorrtInstance {
    fn answer(&mut self, batch: &mut Batch) -> Result<Vec<InferResponse>, InferError> {
        if !self.plan.batching && batch.len() > 1 {
            return Err(self.internal(&format!("does not batch, and got {} requests in one execution", batch.len())));
        }
        let outputs = self.run(batch)?;
        batch.mark_outputs_started();
        self.hand_out(batch, outputs)
    }

    fn run(&mut self, batch: &mut Batch) -> Result<Vec<Tensor>, InferError> {
        let inputs = self.inputs(batch)?;
        let shapes: Vec<Extents> = inputs.iter().map(|parts| parts.shape.to_signed()).collect();
        let written = match self.graphs.choose(&shapes) {
            Some(graph) => {
                let placed = self.graphs.place(graph, &self.stream, &inputs);
                // Copies under way are over when the graph is, or here.
                let placed = placed.or_else(|error| self.stream.synchronise().and(Err(error)));
                placed.map_err(|error| self.internal(&format!("inputs on {error}")))?;
                batch.mark_inputs_ready();
                self.launch(graph, &shapes)?
            }
            None => {
                let buffers = self.place_all(&inputs)?;
                batch.mark_inputs_ready();
                self.start(&shapes, &buffers)?
            }
        };
        let tensors = self.plan.outputs.iter().zip(written).map(|(planned, (shape, allocation))| {
            let broken = |text: String| self.internal(&format!("output '{}' {text}", planned.name));
            let shape = Shape::from_signed(&shape).map_err(|error| broken(error.to_string()))?;
            let tensor = Tensor::new(planned.data_type, shape, allocation.into_buffer());
            tensor.map_err(|error| broken(error.to_string()))
        });
        tensors.collect()
    }

    /// In the order of the plan.
    fn inputs<'b>(&self, batch: &'b Batch) -> Result<Vec<Parts<'b>>, InferError> {
        let forms = BatchForms::default();
        let inputs = self.plan.inputs.iter().map(|planned| {
            let name = &planned.name;
            forms.parts(batch, name)?.ok_or_else(|| {
                InferError::invalid_argument(format!("model '{}': input '{name}' is missing", self.plan.model_name))
            })
        });
        inputs.collect()
    }

    /// Each input in one piece, in memory of the device.
    fn place_all(&self, inputs: &[Parts<'_>]) -> Result<Vec<Buffer>, InferError> {
        let placed = self.plan.inputs.iter().zip(inputs).map(|(planned, parts)| {
            let failed = |error| self.internal(&format!("input '{}' on {error}", planned.name));
            self.place(parts).map_err(failed)
        });
        placed.collect()
    }

    fn place(&self, parts: &Parts<'_>) -> Result<Buffer, DeviceError> {
        if let [tensor] = parts.tensors.as_slice()
            && self.fits(tensor.buffer())
        {
            return Ok(tensor.buffer().clone());
        }
        let length_bytes = parts.tensors.iter().map(|tensor| tensor.byte_size()).sum();
        let mut gathered = self.stream.allocate(length_bytes)?;
        let mut offset = 0;
        for tensor in &parts.tensors {
            self.stream.fill(&mut gathered, offset, tensor.buffer())?;
            offset += tensor.byte_size();
        }
        self.stream.synchronise()?;
        Ok(gathered.into_buffer())
    }

    /// Whether the engine may read it where it is: nobody else writes to it meanwhile.
    fn fits(&self, buffer: &Buffer) -> bool {
        let is_here = buffer.device().is_some_and(|span| span.device_id == self.stream.gpu().ordinal());
        is_here && !buffer.is_external() && buffer.is_aligned_to(ALIGNMENT_BYTES)
    }

    /// Executes in one launch what the graph was captured of.
    fn launch(&mut self, graph: usize, shapes: &[Extents]) -> Result<Vec<Written>, InferError> {
        let plan = Arc::clone(&self.plan);
        tracing::debug!("model '{}' launches the CUDA graph {}", plan.model_name, self.graphs.shown(graph));
        let rows = shapes.first().and_then(|shape| shape.first()).copied().filter(|_| plan.batching);
        let written = self.graphs.run(graph, (&plan, &self.stream), rows);
        written.map_err(|error| self.internal(&error.to_string()))
    }

    /// Has TensorRT start one execution, of whatever shapes a profile allows.
    fn start(&mut self, shapes: &[Extents], inputs: &[Buffer]) -> Result<Vec<Written>, InferError> {
        let plan = Arc::clone(&self.plan);
        let named: Vec<(&str, Extents)> =
            plan.inputs.iter().map(|planned| &*planned.name).zip(shapes.iter().cloned()).collect();
        let profile = profiles::choose(&plan.profiles, &named)
            .map_err(|text| InferError::invalid_argument(format!("model '{}': {text}", plan.model_name)))?;
        let views = plan.inputs.iter().zip(shapes).zip(inputs).map(|((planned, shape), buffer)| {
            let address = buffer.device().map(|span| span.address);
            let address = address.ok_or_else(|| self.internal(&format!("input '{}' is on no device", planned.name)))?;
            Ok(InputView { name: &planned.c_name, shape, address })
        });
        let views = views.collect::<Result<Vec<_>, InferError>>()?;
        let names: Vec<&CStr> = plan.outputs.iter().map(|planned| planned.c_name.as_c_str()).collect();
        let stream = &self.stream;
        let allocate = |place: usize, shape: &[i64]| {
            let length_bytes = plan.outputs.get(place).and_then(|planned| byte_size(planned, shape));
            let length_bytes = length_bytes.ok_or_else(|| "an output is too large".to_owned())?;
            stream.allocate(length_bytes).map_err(|error| error.to_string())
        };
        let Some(context) = self.contexts.get_mut(profile) else { return Err(self.internal("has no such context")) };
        context
            .run(stream, &views, (&names, allocate))
            .map_err(|text| InferError::internal(format!("model '{}': {text}", plan.model_name)))
    }

    fn hand_out(&self, batch: &Batch, outputs: Vec<Tensor>) -> Result<Vec<InferResponse>, InferError> {
        let mut responses: Vec<InferResponse> = batch.requests().map(|_| InferResponse::default()).collect();
        let rows: Vec<u64> = batch.requests().map(CheckedRequest::batch_size).collect();
        for (planned, output) in self.plan.outputs.iter().zip(outputs) {
            let name = &planned.name;
            let parts = if self.plan.batching { scatter(name, output, &rows)? } else { vec![output] };
            for ((response, request), tensor) in responses.iter_mut().zip(batch.requests()).zip(parts) {
                if request.wants(name) {
                    response.outputs.push(NamedTensor::new(name.clone(), tensor));
                }
            }
        }
        Ok(responses)
    }

    fn internal(&self, text: &str) -> InferError {
        InferError::internal(format!("model '{}': {text}", self.plan.model_name))
    }
}
