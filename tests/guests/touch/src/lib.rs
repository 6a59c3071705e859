//! Reads its FP32 input and writes a copy of it: what the sandbox and one copy in each direction cost.

use nereid_sdk::{Error, Inputs, Request, Response, Tensor, Transform, export_transform};

struct Touch;

impl Transform for Touch {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let input = inputs.tensor("INPUT0")?;
        let values = input.as_f32()?;
        Ok(Response::new().output("OUTPUT0", Tensor::from_f32(&input.shape(), &values)?))
    }
}

export_transform!(Touch);
