//! Its input, times a factor.

use nereid_sdk::{Error, Inputs, Request, Response, Tensor, Transform, export_transform, setting_or};

struct Double {
    factor: f32,
}

impl Transform for Double {
    fn new() -> Result<Self, Error> {
        // The `parameters` of config.pbtxt, read once per instance.
        Ok(Self { factor: setting_or("factor", 2.0)? })
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let x = inputs.tensor("X")?;
        let multiplied: Vec<f32> = x.as_f32()?.iter().map(|value| value * self.factor).collect();
        Ok(Response::new().output("Y", Tensor::from_f32(&x.shape(), &multiplied)?))
    }
}

export_transform!(Double);
