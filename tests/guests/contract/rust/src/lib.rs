//! The contract test's plugin in Rust: does what the request's parameter `mode` says. `tests/guests/contract/README.md` has
//! the list that all languages share.

mod reach;
mod tokens;
mod work;

use std::{hint::black_box, time::Duration};

use nereid_sdk::{
    DataType, Error, ErrorCode, Inputs, Request, Response, SequenceId, Tensor, Transform, export_transform, infer, log,
    model, setting_or, wait_any,
};

struct Contract {
    scale: f32,
    bias: f32,
}

impl Transform for Contract {
    fn new() -> Result<Self, Error> {
        Ok(Self { scale: setting_or("scale", 1.0)?, bias: setting_or("bias", 0.0)? })
    }

    fn run(&mut self, request: &Request, mut inputs: Inputs) -> Result<Response, Error> {
        let x = inputs.take("X")?;
        let mode = request.parameter("mode");
        match mode.as_ref().and_then(|mode| mode.as_text()).unwrap_or_default() {
            "pass" => Ok(Response::new().output("X", x)),
            "identity" => Ok(Response::new().output("X", identity(&x)?)),
            "bytes" => Ok(Response::new().output("X", Tensor::from_bytes(x.data_type(), &x.shape(), &x.bytes()?)?)),
            "transform" => self.transform(&x),
            "write" => write(),
            "bls" => both(&x),
            "call" => {
                let call = infer("left").input("X", &x).outputs(["X"]).parameter("depth", 1_i64);
                call.timeout(Duration::from_secs(5)).call()
            }
            "responses" => responses(&x),
            "refuse" => Err(Error::invalid_argument("this request is refused")),
            "parameters" => {
                let answer = Response::new().output("X", x);
                Ok(request
                    .parameters()
                    .into_iter()
                    .fold(answer, |answer, (name, value)| answer.parameter(&name, value)))
            }
            "model" => {
                let model = model();
                let input = model.inputs.first().map(|input| input.name.clone()).unwrap_or_default();
                let answer = Response::new().output("X", x).parameter("name", model.name);
                Ok(answer.parameter("version", model.version as i64).parameter("input", input))
            }
            "log" => {
                log::info!("the contract says hello");
                Ok(Response::new().output("X", x))
            }
            "request" => Ok(said(x, &facts(request)?)),
            "operations" => Ok(said(x.share(), &[work::all_operations(&x)?])),
            "tokenizers" => Ok(said(x, &[tokens::all()?])),
            "state" => Ok(said(x, &reach::state()?)),
            "metrics" => Ok(said(x, &reach::metrics()?)),
            "files" => Ok(said(x, &reach::files()?)),
            "secrets" => Ok(said(x, &reach::secrets()?)),
            "control" => Ok(said(x, &reach::control()?)),
            "http" => Ok(said(x, &reach::http()?)),
            "spans" => Ok(said(x, &[reach::spans(request)])),
            "trap" => Ok(Response::new().output("X", fail_on_purpose(x))),
            "cancelled" => {
                while !request.is_cancelled() {}
                Err(Error::new(ErrorCode::Cancelled, "noticed that the client left"))
            }
            other => Err(Error::not_found(format!("there is no mode '{other}'"))),
        }
    }
}

impl Contract {
    fn transform(&self, x: &Tensor) -> Result<Response, Error> {
        let scaled: Vec<f32> = x.as_f32()?.iter().map(|value| value * self.scale + self.bias).collect();
        Ok(Response::new().output("X", Tensor::from_f32(&x.shape(), &scaled)?))
    }
}

/// The elements through values of Rust's own; the two short floats have none in its standard library.
fn identity(x: &Tensor) -> Result<Tensor, Error> {
    let shape = x.shape();
    match x.data_type() {
        DataType::Boolean => Tensor::from_elements(&shape, &x.elements::<bool>()?),
        DataType::Uint8 => Tensor::from_elements(&shape, &x.elements::<u8>()?),
        DataType::Uint16 => Tensor::from_elements(&shape, &x.elements::<u16>()?),
        DataType::Uint32 => Tensor::from_elements(&shape, &x.elements::<u32>()?),
        DataType::Uint64 => Tensor::from_elements(&shape, &x.elements::<u64>()?),
        DataType::Int8 => Tensor::from_elements(&shape, &x.elements::<i8>()?),
        DataType::Int16 => Tensor::from_elements(&shape, &x.elements::<i16>()?),
        DataType::Int32 => Tensor::from_elements(&shape, &x.elements::<i32>()?),
        DataType::Int64 => Tensor::from_elements(&shape, &x.elements::<i64>()?),
        DataType::Fp32 => Tensor::from_f32(&shape, &x.as_f32()?),
        DataType::Fp64 => Tensor::from_elements(&shape, &x.elements::<f64>()?),
        DataType::Fp16 | DataType::Bf16 => Tensor::from_bytes(x.data_type(), &shape, &x.bytes()?),
        DataType::Bytes => Tensor::from_blobs(&shape, &x.blobs()?),
    }
}

fn write() -> Result<Response, Error> {
    let mut y = Tensor::zeroed(DataType::Fp32, &[4])?;
    y.write(1, &[1.5_f32, 2.5])?;
    Ok(Response::new().output("X", y.slice(1, &[2])?.reshape(&[2, 1])?.reshape(&[2])?))
}

fn both(x: &Tensor) -> Result<Response, Error> {
    let calls = [infer("left").input("X", x).submit()?, infer("right").input("X", x).submit()?];
    let first = wait_any(&calls, None)?.unwrap_or(2);
    let mut total = vec![0.0; x.as_f32()?.len()];
    for call in &calls {
        let answer = call.receive()?.ok_or_else(|| Error::internal("no response"))?;
        total.iter_mut().zip(answer.tensor("X")?.as_f32()?).for_each(|(sum, value)| *sum += value);
    }
    Ok(Response::new().output("X", Tensor::from_f32(&x.shape(), &total)?).parameter("first", first as i64))
}

/// What every response of one call adds up to.
fn responses(x: &Tensor) -> Result<Response, Error> {
    let call = infer("many").input("X", x).submit()?;
    let mut totals = Vec::new();
    while let Some(answer) = call.receive()? {
        totals.push(answer.tensor("X")?.as_f32()?.iter().sum());
    }
    Ok(Response::new().output("X", Tensor::from_f32(&[totals.len() as u64], &totals)?))
}

fn facts(request: &Request) -> Result<[String; 10], Error> {
    let sequence = request.sequence().ok_or_else(|| Error::internal("no sequence"))?;
    let id = match sequence.id {
        SequenceId::Number(number) => number.to_string(),
        SequenceId::Text(text) => text,
    };
    Ok([
        request.id(),
        request.rows().to_string(),
        request.priority().to_string(),
        request.tenant().unwrap_or_default(),
        id,
        sequence.start.to_string(),
        sequence.end.to_string(),
        request.wants("X").to_string(),
        request.wanted_outputs().len().to_string(),
        (request.remaining() > Duration::from_secs(1)).to_string(),
    ])
}

/// The input, and words as the parameter `said`.
fn said(x: Tensor, words: &[String]) -> Response {
    Response::new().output("X", x).parameter("said", words.join(" "))
}

fn fail_on_purpose(x: Tensor) -> Tensor {
    assert!(black_box(false), "out of luck");
    x
}

export_transform!(Contract);
