//! Says which build of itself answers. The number stands in the component as text, so that a test makes another build by changing
//! some bytes, without a compiler; and so do faults: a build may refuse to start, trap over every request, or take its time.
//!
//! `BUILD` is the build's number, `STEP` how many requests of the same sequence this guest has seen. A request with the parameter
//! `count` gets as many responses; one with `spin` is computed for as many million steps, each of some nanoseconds.

use std::{collections::HashMap, hint::black_box};

use nereid_sdk::{Error, ErrorCode, Model, Outcome, Request, Response, SequenceId, Tensor, export_model};

/// What a test changes: a word of four letters, and the number.
static BUILD: [u8; 16] = *b"BUILD:fine:00001";

/// How long a slow build takes: fifty milliseconds on a fast machine. The guard wants it to exceed the build before by twenty.
const SLOW_MILLIONS: i64 = 60;

struct Builds {
    number: i32,
    kind: String,
    steps: HashMap<String, i32>,
}

impl Model for Builds {
    fn new() -> Result<Self, Error> {
        let text = String::from_utf8_lossy(black_box(&BUILD)).into_owned();
        let mut parts = text.split(':').skip(1);
        let kind = parts.next().unwrap_or_default().to_owned();
        let number = parts.next().and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| Error::internal(format_args!("'{text}' is no build")))?;
        if kind == "lame" {
            return Err(Error::new(ErrorCode::Unavailable, "this build does not start"));
        }
        Ok(Self { number, kind, steps: HashMap::new() })
    }

    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
        batch.iter().map(|request| self.answer(request).unwrap_or_else(Outcome::Failure)).collect()
    }
}

impl Builds {
    fn answer(&mut self, request: &Request) -> Result<Outcome, Error> {
        match self.kind.as_str() {
            "trap" => panic!("this build traps"),
            "fail" => return Err(Error::internal("this build fails")),
            "slow" => spin(SLOW_MILLIONS),
            _ => {}
        }
        if let Some(millions) = request.parameter("spin").and_then(|millions| millions.as_i64()) {
            spin(millions);
        }
        let step = self.step(request);
        match request.parameter("count").and_then(|count| count.as_i64()) {
            None => Ok(Outcome::Answer(self.response(step)?)),
            Some(count) => {
                let sender = request.sender()?;
                for _ in 0..count {
                    sender.send(self.response(step)?)?;
                }
                sender.finish();
                Ok(Outcome::Deferred)
            }
        }
    }

    fn step(&mut self, request: &Request) -> i32 {
        let Some(sequence) = request.sequence() else { return 0 };
        let id = match &sequence.id {
            SequenceId::Number(number) => number.to_string(),
            SequenceId::Text(text) => text.clone(),
        };
        let seen = if sequence.start { 0 } else { self.steps.get(&id).copied().unwrap_or_default() };
        match sequence.end {
            true => drop(self.steps.remove(&id)),
            false => drop(self.steps.insert(id, seen + 1)),
        }
        seen + 1
    }

    fn response(&self, step: i32) -> Result<Response, Error> {
        Ok(Response::new()
            .output("BUILD", Tensor::from_elements(&[1], &[self.number])?)
            .output("STEP", Tensor::from_elements(&[1], &[step])?))
    }
}

/// Computes for so many million steps, of which each needs the one before.
fn spin(millions: i64) {
    let mut state = 1_u64;
    for _ in 0..millions.saturating_mul(1_000_000) {
        state = black_box(state).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(state);
}

export_model!(Builds);
