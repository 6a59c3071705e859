//! Its input, times a factor: a batch at a time. A `FullModel` could complete config.pbtxt, and say when it is not ready.

use nereid_sdk::{Error, Model, Outcome, Request, Response, Tensor, export_model, setting_or};

struct Double {
    factor: f32,
}

impl Model for Double {
    fn new() -> Result<Self, Error> {
        // The `parameters` of config.pbtxt, read once per instance; an error here fails the load.
        Ok(Self { factor: setting_or("factor", 2.0)? })
    }

    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
        batch.iter().map(|request| Outcome::from(self.answer(request))).collect()
    }
}

impl Double {
    /// One request of the batch; its error does not touch the others.
    fn answer(&self, request: &Request) -> Result<Response, Error> {
        let inputs = request.inputs()?;
        let x = inputs.tensor("X")?;
        let multiplied: Vec<f32> = x.as_f32()?.iter().map(|value| value * self.factor).collect();
        Ok(Response::new().output("Y", Tensor::from_f32(&x.shape(), &multiplied)?))
    }
}

export_model!(Double);
