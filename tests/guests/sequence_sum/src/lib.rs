//! The sum of a sequence's inputs: `tests/models/sequence_sum.onnx` as a plugin. The guest keeps nothing; the sum so far is
//! given to it and taken from it by the host, as an ordinary tensor. What the control inputs said comes back as outputs.

use nereid_sdk::{Error, Inputs, Request, Response, Tensor, Transform, export_transform};

struct SequenceSum;

impl Transform for SequenceSum {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, _request: &Request, mut inputs: Inputs) -> Result<Response, Error> {
        let one = |name: &str| inputs.tensor(name)?.elements::<i32>().map(|values| values.iter().sum::<i32>());
        let sum = one("SUM_IN")? + one("INPUT")? * one("READY")?;
        let shape = inputs.tensor("INPUT")?.shape();
        Ok(Response::new()
            .output("OUTPUT", Tensor::from_elements(&shape, &[sum])?)
            .output("SUM_OUT", Tensor::from_elements(&shape, &[sum])?)
            .output("STARTED", inputs.take("START")?)
            .output("ENDED", inputs.take("END")?)
            .output("SEQUENCE", inputs.take("ID")?))
    }
}

export_transform!(SequenceSum);
