//! Gives the tensors of a request to a model through wasi:nn, and answers what that computes.
//!
//! Parameters of the request: `graph` is what is loaded by name, `names` are the inputs' names with commas between them instead of their
//! own, `times` is how often one context computes, `keep` goes on with the graph that the first such call loaded, `bytes` loads a graph from
//! bytes, `hold` opens so many graphs and closes none, and `spoil` makes the tensors wrong: `length` is a byte too few, `type` says I32. The
//! response's parameter `order` are the outputs' names as they came.

mod inference;

use inference::{ExecutionTarget, Graph, GraphEncoding, TensorType, Values, compute, load, load_by_name, words};
use nereid_sdk::{DataType, Error, Inputs, Request, Response, Tensor, Transform, export_transform};

#[derive(Default)]
struct Nn {
    kept: Option<Graph>,
}

impl Transform for Nn {
    fn new() -> Result<Self, Error> {
        Ok(Self::default())
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let text = |name: &str| request.parameter(name).and_then(|value| Some(value.as_text()?.to_owned()));
        let number = |name: &str| request.parameter(name).and_then(|value| value.as_i64());
        if number("bytes").is_some() {
            load(&[vec![1, 2, 3]], GraphEncoding::Onnx, ExecutionTarget::Cpu).map_err(failed)?;
        }
        let name = text("graph").unwrap_or_default();
        for _ in 0..number("hold").unwrap_or(0) {
            std::mem::forget(load_by_name(&name).map_err(failed)?);
        }
        let values = values(&inputs, text("names").as_deref(), text("spoil").as_deref())?;
        let times = number("times").unwrap_or(1) as usize;
        let outputs = match number("keep") {
            Some(_) => {
                let graph = self.kept.take().map_or_else(|| load_by_name(&name).map_err(failed), Ok)?;
                compute(self.kept.insert(graph), &values, times)
            }
            None => compute(&load_by_name(&name).map_err(failed)?, &values, times),
        };
        respond(outputs.map_err(Error::internal)?)
    }
}

fn failed(error: inference::Error) -> Error {
    Error::internal(words(error))
}

fn values(inputs: &Inputs, names: Option<&str>, spoil: Option<&str>) -> Result<Vec<Values>, Error> {
    let mut values = Vec::new();
    for (name, tensor) in inputs.iter() {
        let dimensions = tensor.shape().iter().map(|extent| *extent as u32).collect();
        let tensor_type = tensor_type(tensor.data_type())?;
        values.push(Values { name: name.to_owned(), dimensions, tensor_type, data: tensor.bytes()? });
    }
    for (value, name) in values.iter_mut().zip(names.unwrap_or_default().split(',').filter(|name| !name.is_empty())) {
        value.name = name.to_owned();
    }
    for value in &mut values {
        match spoil {
            Some("length") => drop(value.data.pop()),
            Some("type") => value.tensor_type = TensorType::I32,
            _ => {}
        }
    }
    Ok(values)
}

fn respond(outputs: Vec<Values>) -> Result<Response, Error> {
    let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
    let mut response = Response::new().parameter("order", names.join(","));
    for output in outputs {
        let shape: Vec<u64> = output.dimensions.iter().map(|extent| u64::from(*extent)).collect();
        let tensor = Tensor::from_bytes(data_type(output.tensor_type), &shape, &output.data)?;
        response = response.output(&output.name, tensor);
    }
    Ok(response)
}

fn tensor_type(data_type: DataType) -> Result<TensorType, Error> {
    Ok(match data_type {
        DataType::Fp16 => TensorType::Fp16,
        DataType::Fp32 => TensorType::Fp32,
        DataType::Fp64 => TensorType::Fp64,
        DataType::Bf16 => TensorType::Bf16,
        DataType::Uint8 => TensorType::U8,
        DataType::Int32 => TensorType::I32,
        DataType::Int64 => TensorType::I64,
        other => return Err(Error::invalid_argument(format!("{other:?} is no type of wasi-nn"))),
    })
}

fn data_type(tensor_type: TensorType) -> DataType {
    match tensor_type {
        TensorType::Fp16 => DataType::Fp16,
        TensorType::Fp32 => DataType::Fp32,
        TensorType::Fp64 => DataType::Fp64,
        TensorType::Bf16 => DataType::Bf16,
        TensorType::U8 => DataType::Uint8,
        TensorType::I32 => DataType::Int32,
        TensorType::I64 => DataType::Int64,
    }
}

export_transform!(Nn);
