//! Calls the model `identity` and answers what that answers: what a call from a plugin costs.

use nereid_sdk::{Error, Inputs, Request, Response, Transform, export_transform, infer};

struct Relay;

impl Transform for Relay {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let mut answer = infer("identity").input("INPUT0", inputs.tensor("INPUT0")?).call()?;
        Ok(Response::new().output("OUTPUT0", answer.take("OUTPUT0")?))
    }
}

export_transform!(Relay);
