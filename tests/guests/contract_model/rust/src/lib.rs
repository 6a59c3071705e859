//! The contract test's plugin of whole batches in Rust: does what the request's parameter `mode` says.
//! `tests/guests/contract_model/README.md` has the list that all languages share.

use std::hint::black_box;

use nereid_sdk::{Error, ErrorCode, Model, Outcome, Request, Response, Sender, Tensor, export_model, setting, state};

struct Contract {
    /// Answered when somebody asks to flush.
    kept: Vec<(Sender, Vec<u64>, Vec<f32>)>,
    noticed: String,
}

impl Model for Contract {
    fn new() -> Result<Self, Error> {
        if setting("refuse").is_some() {
            return Err(Error::invalid_argument("the setting 'refuse' is there"));
        }
        Ok(Self { kept: Vec::new(), noticed: "nothing yet".to_owned() })
    }

    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
        let batched = batch.len() as i64;
        batch.iter().map(|request| self.answer(request, batched).unwrap_or_else(Outcome::Failure)).collect()
    }

    fn finalise(self) {
        let _ = state::add("finalised", 1);
    }
}

impl Contract {
    fn answer(&mut self, request: &Request, batched: i64) -> Result<Outcome, Error> {
        let x = request.inputs()?.take("X")?;
        let mode = request.parameter("mode");
        match mode.as_ref().and_then(|mode| mode.as_text()).unwrap_or_default() {
            "pass" => Ok(Outcome::Answer(Response::new().output("X", x))),
            "batch" => {
                let answer = Response::new().output("X", x).parameter("batch", batched);
                Ok(Outcome::Answer(answer.parameter("rows", request.rows() as i64)))
            }
            "refuse" => Err(Error::invalid_argument("this request is refused")),
            "again" => Ok(Outcome::Reschedule(plus(&x, 1.0)?)),
            "keep" => {
                self.kept.push((request.sender()?, x.shape(), x.as_f32()?.to_vec()));
                Ok(Outcome::Deferred)
            }
            "flush" => {
                for (sender, shape, values) in self.kept.drain(..) {
                    let values: Vec<f32> = values.iter().map(|value| value + 100.0).collect();
                    sender.respond(Response::new().output("X", Tensor::from_f32(&shape, &values)?))?;
                }
                Ok(Outcome::Answer(Response::new().output("X", x)))
            }
            "noticed" => Ok(Outcome::Answer(said(x, &self.noticed))),
            "finalised" => Ok(Outcome::Answer(said(x, &state::add("finalised", 0)?.to_string()))),
            "trap" => Ok(Outcome::Answer(Response::new().output("X", fail_on_purpose(x)))),
            mode => self.through_sender(mode, request, &x),
        }
    }

    fn through_sender(&mut self, mode: &str, request: &Request, x: &Tensor) -> Result<Outcome, Error> {
        let count = request.parameter("count").and_then(|count| count.as_i64()).unwrap_or_default();
        let sender = request.sender()?;
        match mode {
            "stream" => {
                for number in 0..count {
                    sender.send(plus(x, number as f32)?)?;
                }
                sender.finish();
            }
            "respond" => sender.respond(plus(x, 7.0)?)?,
            "fail" => sender.fail(Error::new(ErrorCode::Unavailable, "not today")),
            "endless" => {
                let ended = loop {
                    if let Err(error) = sender.send(Response::new().output("X", x.share())) {
                        break error;
                    }
                };
                let kind = if ended.code() == ErrorCode::Cancelled { "cancelled" } else { "another" };
                self.noticed = format!("{kind} {}", sender.is_cancelled());
            }
            _ => return Err(Error::not_found("there is no such mode")),
        }
        Ok(Outcome::Deferred)
    }
}

fn plus(x: &Tensor, number: f32) -> Result<Response, Error> {
    let values: Vec<f32> = x.as_f32()?.iter().map(|value| value + number).collect();
    Ok(Response::new().output("X", Tensor::from_f32(&x.shape(), &values)?))
}

fn said(x: Tensor, words: &str) -> Response {
    Response::new().output("X", x).parameter("said", words)
}

fn fail_on_purpose(x: Tensor) -> Tensor {
    assert!(black_box(false), "out of luck");
    x
}

export_model!(Contract);
