//! Hands its input on untouched: what the sandbox alone costs, whatever the tensor's size.

use nereid_sdk::{Error, Inputs, Request, Response, Transform, export_transform};

struct Identity;

impl Transform for Identity {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, _request: &Request, mut inputs: Inputs) -> Result<Response, Error> {
        Ok(Response::new().output("OUTPUT0", inputs.take("INPUT0")?))
    }
}

export_transform!(Identity);
