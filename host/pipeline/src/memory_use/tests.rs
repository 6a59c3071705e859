//! Models and requests under a budget, over the fake backend, in a process whose memory does not change: what is charged is
//! what the warm-up shows. Loads are made outside the runtime, as a server makes them.

use std::sync::Arc;

use nereid_backend::fake::FakeBehaviour;
use nereid_inference::{
    ErrorKind, InferRequest, ModelConfig,
    config::{InstanceGroup, InstanceKind, WarmupData, WarmupInput, WarmupSample},
};
use nereid_memory::{MemoryLimits, ProcessMemory};
use nereid_tensor::DataType;
use tokio::runtime::Runtime;

use super::*;
use crate::test_service::{World, echo, tensor};

struct Still;

impl ProcessMemory for Still {
    fn resident_bytes(&self) -> Option<u64> {
        Some(1 << 30)
    }

    fn restart_peak(&self) {}

    fn peak_bytes(&self) -> Option<u64> {
        Some(1 << 30)
    }
}

fn world(budget_bytes: u64) -> (World, MemoryBudget) {
    let budget = MemoryBudget::new(budget_bytes, MemoryLimits::default(), Arc::new(Still));
    (World::with_memory(FakeBehaviour::default(), budget.clone()), budget)
}

/// Its warm-up takes 48 bytes: three rows of two floats, in and out. Each request of one row takes 16.
fn warmed(instances: i32) -> ModelConfig {
    let data = Some(WarmupData::Zero(true));
    let input = WarmupInput { data_type: DataType::Fp32.into(), dims: vec![2], data };
    let sample = WarmupSample { name: "s".into(), batch_size: 3, inputs: [("X".to_owned(), input)].into(), count: 0 };
    let group = InstanceGroup { count: instances, kind: InstanceKind::Cpu, ..InstanceGroup::default() };
    ModelConfig { warmup: vec![sample], instance_groups: vec![group], ..echo("m", 2) }
}

fn request() -> InferRequest {
    InferRequest::new(vec![tensor("X", &[1.0, 2.0])])
}

#[test]
fn requests_are_charged_what_they_bring_and_get_until_they_are_answered() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (world, budget) = world(48 + 40);
    let model = world.load(warmed(1)).unwrap();
    assert_eq!(budget.figures().models.values().sum::<u64>(), 48);
    let under_way = [model.infer(request()), model.infer(request())];
    assert_eq!(budget.figures().in_flight_bytes, 32);
    let error = runtime.block_on(model.infer(request()).single()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().starts_with("[request id: <id_unknown>] Exceeds the memory budget"), "{error}");
    assert!(error.message().contains("this request to model 'm' version 1 takes 16 bytes"), "{error}");
    for stream in under_way {
        runtime.block_on(stream.single()).unwrap();
    }
    assert_eq!(budget.figures().in_flight_bytes, 0);
    runtime.block_on(model.infer(request()).single()).unwrap();
    let statistics = model.statistics().inference;
    assert_eq!((statistics.success.count, statistics.fail.count), (3, 1));
    let rejected = r#"nv_inference_request_failure{model="m",reason="REJECTED",version="1"} 1"#;
    assert!(world.telemetry.render().contains(rejected), "{}", world.telemetry.render());
}

#[test]
fn a_cancelled_request_is_charged_nothing_any_more() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (world, budget) = world(48 + 16);
    let model = world.load(warmed(1)).unwrap();
    drop(model.infer(request()));
    runtime.block_on(model.infer(request()).single()).unwrap();
    assert_eq!(budget.figures().in_flight_bytes, 0);
}

#[test]
fn a_ticket_that_the_request_came_with_is_kept_as_long() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (world, _) = world(1 << 20);
    let model = world.load(warmed(1)).unwrap();
    let outer: SharedTicket = Arc::new(Outer);
    let stream = model.infer(InferRequest { ticket: Some(outer.clone()), ..request() }).holding(outer.clone());
    assert!(Arc::strong_count(&outer) > 1);
    runtime.block_on(stream.single()).unwrap();
    assert_eq!(Arc::strong_count(&outer), 1);
}

#[derive(Debug)]
struct Outer;

impl nereid_inference::Ticket for Outer {}

#[test]
fn a_model_that_took_too_much_is_not_served_and_leaves_nothing() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (world, budget) = world(47);
    let error = world.load(warmed(1)).err().unwrap();
    assert!(error.message().starts_with("model 'm' version 1 took 48 bytes when it was loaded"), "{error}");
    assert_eq!(budget.figures().models.len(), 0);
    assert_eq!(budget.figures().loading_bytes, 0);
}

#[test]
fn instances_that_come_need_room_and_those_that_go_leave_it() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (world, budget) = world(150);
    let charged = || budget.figures().models.values().sum::<u64>();
    let mut model = world.load(warmed(1)).unwrap();
    model = model.reconfigured(&warmed(3)).unwrap().unwrap();
    assert_eq!(charged(), 144);
    let error = model.reconfigured(&warmed(4)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.message().contains("needs 48 bytes for more instances"), "{error}");
    assert_eq!(charged(), 144);
    model = model.reconfigured(&warmed(2)).unwrap().unwrap();
    assert_eq!(charged(), 96);
    drop(model);
    assert_eq!(charged(), 96, "the service has it");
    drop(world);
    assert_eq!(charged(), 0);
}

#[test]
fn outputs_of_fixed_shape_are_known_beforehand() {
    let check = |data_type: DataType, dims: &[i64], expected| {
        let output = nereid_inference::config::ModelOutput {
            name: "Y".into(),
            data_type: data_type.into(),
            dims: dims.to_vec(),
            ..Default::default()
        };
        let config = ModelConfig { outputs: vec![output], ..ModelConfig::default() };
        assert_eq!(fixed_output_bytes(&Signature::from_config(&config).unwrap()), expected);
    };
    check(DataType::Fp32, &[2, 3], 24);
    check(DataType::Fp32, &[2, -1], 0);
    check(DataType::Bytes, &[2], 0);
    check(DataType::Fp64, &[i64::MAX, i64::MAX], u64::MAX);
}
