//! Inference as a program writes it that was made for wasi-nn and for no host in particular.

wit_bindgen::generate!({ world: "ml", path: "wit" });

pub(crate) use wasi::nn::{
    errors::Error,
    graph::{ExecutionTarget, Graph, GraphEncoding, load, load_by_name},
    inference::GraphExecutionContext,
    tensor::{Tensor, TensorType},
};

/// A tensor with its name, in the program's own memory.
#[derive(Clone)]
pub(crate) struct Values {
    pub(crate) name: String,
    pub(crate) dimensions: Vec<u32>,
    pub(crate) tensor_type: TensorType,
    pub(crate) data: Vec<u8>,
}

/// Computes so often with one context; the last outputs.
pub(crate) fn compute(graph: &Graph, inputs: &[Values], times: usize) -> Result<Vec<Values>, String> {
    let context = graph.init_execution_context().map_err(words)?;
    let mut outputs = Vec::new();
    for _ in 0..times {
        outputs = compute_once(&context, inputs)?;
    }
    Ok(outputs)
}

fn compute_once(context: &GraphExecutionContext, inputs: &[Values]) -> Result<Vec<Values>, String> {
    let tensors = inputs.iter().map(|input| {
        let tensor = Tensor::new(&input.dimensions, input.tensor_type, &input.data);
        assert_eq!((tensor.dimensions(), tensor.data()), (input.dimensions.clone(), input.data.clone()));
        (input.name.clone(), tensor)
    });
    let outputs = context.compute(tensors.collect()).map_err(words)?;
    let values = outputs.into_iter().map(|(name, tensor)| Values {
        name,
        dimensions: tensor.dimensions(),
        tensor_type: tensor.ty(),
        data: tensor.data(),
    });
    Ok(values.collect())
}

/// A failure as its code and what the host says of it.
pub(crate) fn words(error: Error) -> String {
    format!("{:?}: {}", error.code(), error.data())
}
