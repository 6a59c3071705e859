//! Its input, times a factor: a batch at a time, and the requests of a batch at the same time. What is awaited in `answer` (another
//! model's answer: `infer("model").input("X", x).await?`) keeps only that request waiting. `FullAsyncModel` and
//! `export_full_async_model!` add what it knows of its configuration, whether it is ready, and what it does before it goes.

use nereid_sdk::{AsyncModel, Error, Outcome, Request, Response, Tensor, export_async_model, join_all, setting_or};

struct Double {
    factor: f32,
}

impl AsyncModel for Double {
    async fn new() -> Result<Self, Error> {
        // The `parameters` of config.pbtxt, read once per instance; an error here fails the load.
        Ok(Self { factor: setting_or("factor", 2.0)? })
    }

    async fn execute(&self, batch: Vec<Request>) -> Vec<Outcome> {
        join_all(batch.iter().map(async |request| Outcome::from(self.answer(request).await))).await
    }
}

impl Double {
    /// One request of the batch; its error does not touch the others.
    async fn answer(&self, request: &Request) -> Result<Response, Error> {
        let inputs = request.inputs()?;
        let x = inputs.tensor("X")?;
        let multiplied: Vec<f32> = x.as_f32()?.iter().map(|value| value * self.factor).collect();
        Ok(Response::new().output("Y", Tensor::from_f32(&x.shape(), &multiplied)?))
    }
}

export_async_model!(Double);
