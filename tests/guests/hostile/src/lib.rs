//! Misbehaves in the way that the request's parameter `mode` asks for; without one it is a well-behaved identity.
//!
//! Each mode stands for a mistake or an attack that must cost its own request alone.

use std::hint::black_box;

use nereid_sdk::{
    DataType, Error, Inputs, Request, Response, Tensor, Transform, export_transform, infer, log, metrics::Counter,
    state,
};

/// More than any limit allows.
const GIBIBYTE: usize = 1 << 30;

struct Hostile;

impl Transform for Hostile {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, request: &Request, mut inputs: Inputs) -> Result<Response, Error> {
        let input = inputs.take("INPUT0")?;
        let mode = request.parameter("mode");
        match mode.as_ref().and_then(|mode| mode.as_text()).unwrap_or("behave") {
            "behave" => Ok(Response::new().output("OUTPUT0", input)),
            "error" => Err(Error::invalid_argument("the plugin does not like this request")),
            "panic" => panic!("the plugin panics on purpose"),
            "loop" => spin(),
            "allocate" => allocate(input),
            "recurse" => Ok(Response::new().parameter("depth", recurse(1))),
            "wrong-name" => Ok(Response::new().output("SURPRISE", input)),
            "wrong-type" => Ok(Response::new().output("OUTPUT0", Tensor::from_elements(&[1], &[1_i32])?)),
            "wrong-shape" => Ok(Response::new().output("OUTPUT0", Tensor::from_f32(&[2, 2], &[0.0; 4])?)),
            "nothing" => Ok(Response::new()),
            "huge-output" => huge_output(),
            "unknown-model" => infer("no_such_model").input("INPUT0", &input).call(),
            "itself" => infer("hostile").input("INPUT0", &input).parameter("mode", "itself").call(),
            "circle" => go_round(request, &input),
            "flood-log" => flood(input),
            "flood-state" => flood_state(),
            "flood-metrics" => flood_metrics(),
            other => Err(Error::invalid_argument(format!("there is no mode '{other}'"))),
        }
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate(input: Tensor) -> Result<Response, Error> {
    let hoard: Vec<Vec<u8>> = (0..4).map(|_| vec![1; GIBIBYTE]).collect();
    black_box(&hoard);
    Ok(Response::new().output("OUTPUT0", input))
}

/// Has no end that it could reach; the sum keeps the call from becoming a loop.
fn recurse(depth: u64) -> i64 {
    let frame = black_box([depth; 64]);
    if black_box(depth) == 0 { 0 } else { recurse(depth + 1) + frame[0] as i64 }
}

fn huge_output() -> Result<Response, Error> {
    let elements = (GIBIBYTE / size_of::<f32>()) as u64;
    Ok(Response::new().output("OUTPUT0", Tensor::zeroed(DataType::Fp32, &[elements])?))
}

/// Calls the model that the request names, which is to call this one, and so on.
fn go_round(request: &Request, input: &Tensor) -> Result<Response, Error> {
    let named =
        |name: &str| request.parameter(name).and_then(|name| name.as_text().map(str::to_owned)).unwrap_or_default();
    let (next, after) = (named("next"), named("after"));
    let call = infer(&next).input("INPUT0", input).parameter("mode", "circle");
    call.parameter("next", after).parameter("after", next).call()
}

/// Keys that nobody reads, until somebody says no.
fn flood_state() -> Result<Response, Error> {
    let value = [0; 1024];
    for number in 0..100_000 {
        state::set(&format!("flood {number}"), &value, None)?;
    }
    Ok(Response::new())
}

/// Series that nobody reads, until somebody says no.
fn flood_metrics() -> Result<Response, Error> {
    for number in 0..100_000 {
        let counter = Counter::open("hostile_flood_total", "A series per number", &[("number", &number.to_string())])?;
        counter.add(1.0)?;
    }
    Ok(Response::new())
}

fn flood(input: Tensor) -> Result<Response, Error> {
    let line = "x".repeat(1024);
    for _ in 0..100_000 {
        log::info!("{line}");
    }
    Ok(Response::new().output("OUTPUT0", input))
}

export_transform!(Hostile);
