//! Tensors in a client's shared memory: which are used where they are, and which are not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nereid_inference::{ExternalMemory, MemoryRegions, OutputMemory, SystemRegion};
use nereid_shared_memory::{SharedMemory, SharedMemorySettings};

use super::*;

const REGION_BYTES: u64 = 4096;

/// A region `R` of zeroes.
fn region() -> SharedMemory {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let key = format!("/nereid_onnx_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = format!("/dev/shm{key}");
    fs::write(&path, vec![0; REGION_BYTES as usize]).unwrap();
    let memory = SharedMemory::new(SharedMemorySettings::new(true));
    let registered = memory.register(SystemRegion { name: "R".into(), key, offset: 0, byte_size: REGION_BYTES });
    fs::remove_file(&path).unwrap();
    registered.unwrap();
    memory
}

fn with_output(name: &str, memory: &Arc<dyn ExternalMemory>, inputs: Vec<NamedTensor>) -> InferRequest {
    let output_memory = vec![OutputMemory { name: name.into(), memory: memory.clone() }];
    InferRequest { output_memory, ..InferRequest::new(inputs) }
}

/// Whether the output called `name` lies in `memory`.
fn is_in(response: &InferResponse, name: &str, memory: &Arc<dyn ExternalMemory>) -> bool {
    let buffer = response.output(name).unwrap().buffer();
    buffer.is_external() && buffer.as_slice().as_ptr() == memory.view().as_slice().as_ptr()
}

fn x(rows: &[[f32; 4]]) -> Vec<NamedTensor> {
    let tensor = Tensor::from_elements([rows.len() as u64, 4], rows.as_flattened()).unwrap();
    vec![NamedTensor::new("X", tensor)]
}

#[test]
fn floats_of_a_lone_request_are_written_to_the_region() {
    let (loaded, regions) = (load("mlp"), region());
    let memory = regions.span("R", 64, 100).unwrap();
    let response = loaded.execute(vec![with_output("Y", &memory, x(&[[0.5, -1.0, 2.0, 0.25]]))]).remove(0).unwrap();
    assert!(is_in(&response, "Y", &memory));
    let written = regions.span("R", 64, 12).unwrap().view();
    let written: &[f32] = bytemuck::cast_slice(written.as_slice());
    for (found, expected) in written.iter().zip(MLP_ROW_0) {
        assert!((found - expected).abs() < 1e-4, "{written:?}");
    }
}

#[test]
fn batches_and_memory_that_does_not_suit_are_left_to_the_frontend() {
    let (loaded, regions) = (load("mlp"), region());
    let row = x(&[[0.0; 4]]);
    let memory = regions.span("R", 0, 12).unwrap();
    let both = (0..2).map(|_| with_output("Y", &memory, row.clone())).collect();
    for answer in loaded.execute(both) {
        assert!(!answer.unwrap().output("Y").unwrap().buffer().is_external());
    }
    for (offset, length) in [(0, 11), (2, 12)] {
        let memory = regions.span("R", offset, length).unwrap();
        let answer = loaded.execute(vec![with_output("Y", &memory, row.clone())]).remove(0).unwrap();
        assert!(!answer.output("Y").unwrap().buffer().is_external(), "{length} bytes at {offset}");
    }
    assert!(regions.span("R", 0, REGION_BYTES).unwrap().view().as_slice().iter().all(|byte| *byte == 0));
}

#[test]
fn only_floats_are_written_where_a_client_can_change_them() {
    let (loaded, regions) = (load("identity_all_types"), region());
    let memory = regions.span("R", 0, REGION_BYTES).unwrap();
    for data_type in DataType::ALL {
        let name = format!("OUT_{data_type}");
        let response = loaded.execute(vec![with_output(&name, &memory, every_type())]).remove(0).unwrap();
        let is_float = [DataType::Fp16, DataType::Bf16, DataType::Fp32, DataType::Fp64].contains(&data_type);
        assert_eq!(is_in(&response, &name, &memory), is_float, "{data_type}");
    }
}

#[test]
fn inputs_of_every_type_are_read_from_a_region() {
    let (loaded, regions) = (load("identity_all_types"), region());
    let mut offset = 0;
    let inputs = every_type().into_iter().map(|NamedTensor { name, tensor }| {
        let span = regions.span("R", offset, tensor.byte_size() as u64).unwrap();
        span.write(tensor.buffer()).unwrap();
        // Not aligned for the next one on purpose.
        offset += tensor.byte_size() as u64 + 1;
        NamedTensor { name, tensor: Tensor::new(tensor.data_type(), tensor.shape().clone(), span.view()).unwrap() }
    });
    let response = loaded.infer(inputs.collect()).unwrap();
    for input in every_type() {
        let output = response.output(&input.name.replace("IN_", "OUT_")).unwrap();
        assert_eq!(output.buffer().as_slice(), input.tensor.buffer().as_slice(), "{}", input.name);
    }
}
