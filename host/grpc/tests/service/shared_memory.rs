//! Regions, and tensors in them, in one call and on a stream.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use nereid_protocol::grpc::proto::{
    CudaSharedMemoryRegisterRequest, CudaSharedMemoryStatusRequest, CudaSharedMemoryUnregisterRequest, InferParameter,
    ModelInferRequest, SystemSharedMemoryRegisterRequest, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryUnregisterRequest, infer_parameter::ParameterChoice,
    model_infer_request::InferRequestedOutputTensor,
};
use tonic::Code;

use crate::{
    fake,
    fixture::{self, Fixture, assert_status, within},
};

/// An object of zeroes, gone with the test.
struct Object {
    path: PathBuf,
    key: String,
}

impl Object {
    fn new(length_bytes: usize) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let key = format!("/nereid_grpc_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(format!("/dev/shm{key}"));
        fs::write(&path, vec![0; length_bytes]).unwrap();
        Self { path, key }
    }

    /// Written in place: `fs::write` would cut the object short first.
    fn set(&self, number: i32, offset: u64) {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(&number.to_le_bytes(), offset).unwrap();
    }

    fn get(&self, offset: usize) -> i32 {
        let bytes = fs::read(&self.path).unwrap();
        i32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn register(fixture: &mut Fixture, name: &str, object: &Object) {
    let byte_size = fs::metadata(&object.path).unwrap().len();
    let request =
        SystemSharedMemoryRegisterRequest { name: name.into(), key: object.key.clone(), offset: 0, byte_size };
    within(fixture.client.system_shared_memory_register(request)).await.unwrap();
}

async fn regions(fixture: &mut Fixture) -> Vec<(String, String, u64)> {
    let request = SystemSharedMemoryStatusRequest::default();
    let answer = within(fixture.client.system_shared_memory_status(request)).await.unwrap().into_inner();
    answer.regions.into_iter().map(|(name, region)| (name, region.key, region.byte_size)).collect()
}

fn in_region(region: &str, offset: i64) -> BTreeMap<String, InferParameter> {
    let choices = [
        ("shared_memory_region", ParameterChoice::StringParam(region.into())),
        ("shared_memory_offset", ParameterChoice::Int64Param(offset)),
        ("shared_memory_byte_size", ParameterChoice::Int64Param(4)),
    ];
    choices.map(|(key, choice)| (key.to_owned(), InferParameter { parameter_choice: Some(choice) })).into()
}

/// One number from the start of the region to its fifth byte.
fn request(model: &str, id: &str, region: &str) -> ModelInferRequest {
    let mut request = fixture::request(model, id);
    request.raw_input_contents.clear();
    request.inputs[0].parameters = in_region(region, 0);
    request.outputs = vec![InferRequestedOutputTensor { name: "OUT".into(), parameters: in_region(region, 4) }];
    request
}

#[tokio::test]
async fn a_region_is_registered_seen_and_unregistered() {
    let mut fixture = Fixture::start().await;
    let object = Object::new(8);
    register(&mut fixture, "R", &object).await;
    assert_eq!(regions(&mut fixture).await, [("R".to_owned(), object.key.clone(), 8)]);
    let named = SystemSharedMemoryStatusRequest { name: "S".into() };
    let refused = within(fixture.client.system_shared_memory_status(named)).await;
    assert_status(refused, Code::NotFound, "Unable to find system shared memory region: 'S'");
    let again =
        SystemSharedMemoryRegisterRequest { name: "R".into(), key: object.key.clone(), offset: 0, byte_size: 8 };
    let refused = within(fixture.client.system_shared_memory_register(again)).await;
    assert_status(refused, Code::AlreadyExists, "shared memory region 'R' already in manager");
    let all = SystemSharedMemoryUnregisterRequest::default();
    within(fixture.client.system_shared_memory_unregister(all)).await.unwrap();
    assert!(regions(&mut fixture).await.is_empty());
}

#[tokio::test]
async fn device_memory_is_refused_by_name() {
    let mut fixture = Fixture::start().await;
    let client = &mut fixture.client;
    let status = within(client.cuda_shared_memory_status(CudaSharedMemoryStatusRequest::default())).await.unwrap();
    assert!(status.into_inner().regions.is_empty());
    let region = CudaSharedMemoryRegisterRequest { name: "R".into(), ..Default::default() };
    let refused = within(client.cuda_shared_memory_register(region)).await;
    let text = "failed to register CUDA shared memory region: 'R', GPUs not supported";
    assert_status(refused, Code::InvalidArgument, text);
    within(client.cuda_shared_memory_unregister(CudaSharedMemoryUnregisterRequest::default())).await.unwrap();
}

#[tokio::test]
async fn a_tensor_goes_from_region_to_region_and_leaves_an_empty_entry() {
    let mut fixture = Fixture::start().await;
    let object = Object::new(8);
    register(&mut fixture, "R", &object).await;
    object.set(77, 0);
    let answer = within(fixture.client.model_infer(request("echo", "1", "R"))).await.unwrap().into_inner();
    assert_eq!((answer.outputs[0].name.as_str(), &*answer.outputs[0].shape), ("OUT", &[1, 1][..]));
    assert_eq!(answer.raw_output_contents, [bytes::Bytes::new()]);
    assert_eq!(object.get(4), 77);

    let refused = within(fixture.client.model_infer(request("echo", "1", "S"))).await;
    assert_status(refused, Code::NotFound, "Unable to find shared memory region: 'S'");
}

#[tokio::test]
async fn an_object_that_is_cut_short_fails_its_request_and_the_stream_goes_on() {
    let mut fixture = Fixture::start().await;
    let (lost, whole) = (Object::new(8), Object::new(8));
    register(&mut fixture, "lost", &lost).await;
    register(&mut fixture, "whole", &whole).await;
    let mut stream = fixture.stream().await;
    stream.send(request("held", "1", "lost"));
    let held = fixture.held().await;
    fs::OpenOptions::new().write(true).open(&lost.path).unwrap().set_len(0).unwrap();
    // What the model makes of lost memory does not matter.
    held.sender.respond(Ok(fake::number(5)));
    let answer = stream.answer().await;
    assert!(answer.starts_with("1 - final shared memory region 'lost' is damaged: "), "{answer}");

    whole.set(3, 0);
    stream.send(request("echo", "2", "whole"));
    let message = stream.next().await.unwrap().unwrap();
    assert_eq!((message.error_message.as_str(), whole.get(4)), ("", 3));
}
