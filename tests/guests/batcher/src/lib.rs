//! Every way in which a plugin that executes batches can answer, chosen by the request's parameter `do`; `X` comes back as `Y`
//! with something added. Without the parameter it is the size of the batch, so that clients can see what was batched.

use nereid_sdk::{
    Error, ErrorCode, Model, Outcome, Request, Response, Sender, SequenceId, Tensor, Value, export_model,
    instance_name, log,
    metrics::{Counter, Gauge, Histogram},
    model, setting, state,
};

struct Batcher {
    /// Requests that are answered when somebody asks to flush.
    kept: Vec<(Sender, Vec<i32>)>,
    requests: Counter,
    keeping: Gauge,
    rows: Histogram,
}

impl Model for Batcher {
    fn new() -> Result<Self, Error> {
        if setting("refuse").is_some() {
            return Err(Error::invalid_argument("the setting 'refuse' is there"));
        }
        Ok(Self {
            kept: Vec::new(),
            requests: Counter::open("batcher_requests_total", "Requests seen", &[("instance", &instance_name())])?,
            keeping: Gauge::open("batcher_kept", "Senders kept", &[])?,
            rows: Histogram::open("batcher_rows", "Rows per request", &[], &[1.0, 2.0, 4.0])?,
        })
    }

    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
        let count = batch.len();
        let mut outcomes: Vec<Outcome> = batch.iter().map(|request| self.outcome(request, count)).collect();
        if batch.iter().any(|request| asked(request) == "lose an outcome") {
            outcomes.pop();
        }
        self.keeping.set(self.kept.len() as f64);
        outcomes
    }

    fn finalise(self) {
        log::info!("finalised with {} senders", self.kept.len());
    }
}

impl Batcher {
    fn outcome(&mut self, request: &Request, batched: usize) -> Outcome {
        let counted = self.requests.add(1.0);
        self.rows.observe(request.rows() as f64);
        match counted.and_then(|()| self.act(request, batched)) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failure(error),
        }
    }

    fn act(&mut self, request: &Request, batched: usize) -> Result<Outcome, Error> {
        let x = request.inputs()?.tensor("X")?.elements::<i32>()?;
        Ok(match asked(request).as_str() {
            "" => Outcome::Answer(response(&x, batched as i32)?),
            "fail" => Outcome::Failure(Error::new(ErrorCode::Unavailable, format_args!("no {x:?} today"))),
            "describe" => Outcome::Answer(describe(request, response(&x, 0)?)),
            "stream and answer" => {
                request.sender()?.send(response(&x, 1)?)?;
                Outcome::Answer(response(&x, 2)?)
            }
            "keep" => {
                self.kept.push((request.sender()?, x));
                Outcome::Deferred
            }
            "flush" => {
                for (sender, x) in self.kept.drain(..) {
                    // One that was kept too long has ended.
                    let _ = sender.respond(response(&x, 100)?);
                }
                Outcome::Answer(response(&x, 0)?)
            }
            "drop the sender" => {
                drop(request.sender()?);
                Outcome::Deferred
            }
            "defer without a sender" => Outcome::Deferred,
            "take the sender twice" => {
                let first = request.sender()?;
                first.fail(request.sender().err().unwrap_or_else(|| Error::internal("there are two senders")));
                Outcome::Deferred
            }
            "trap with the sender" => {
                let sender = request.sender()?;
                self.kept.push((sender, x));
                panic!("asked to trap")
            }
            "count" => Outcome::Answer(response(&x, state::add(&key(request), 1)? as i32)?),
            "wrong shape" => Outcome::Answer(Response::new().output("Y", Tensor::from_elements(&[1, 2], &[1_i32, 2])?)),
            "iterate" => self.iterate(request, &x)?,
            "counter downwards" => {
                self.requests.add(-1.0)?;
                Outcome::Deferred
            }
            "clashing metric" => {
                Gauge::open("batcher_requests_total", "The same name", &[])?;
                Outcome::Deferred
            }
            _ => through_sender(request, &x)?,
        })
    }

    /// One step of an iterative sequence: streams the step's number, and counts it in the state.
    fn iterate(&mut self, request: &Request, x: &[i32]) -> Result<Outcome, Error> {
        let step = request.inputs()?.tensor("STEP_IN")?.elements::<i32>()?.iter().sum::<i32>();
        let sender = request.sender()?;
        if step + 1 < count(request) {
            sender.send(response(x, step)?)?;
            let state = Tensor::from_elements(&[1, 1], &[step + 1])?;
            return Ok(Outcome::Reschedule(Response::new().output("STEP_OUT", state)));
        }
        sender.respond(response(x, step)?)?;
        Ok(Outcome::Deferred)
    }
}

/// The answers that need no more than the request's sender.
fn through_sender(request: &Request, x: &[i32]) -> Result<Outcome, Error> {
    let sender = request.sender()?;
    match asked(request).as_str() {
        "stream" => {
            for number in 0..count(request) {
                let sent = sender.send(response(x, number)?);
                sent.inspect_err(|error| log::warn!("not sent: {}", error.message()))?;
            }
            sender.finish();
        }
        "stream until cancelled" => {
            let sent = (0..).find(|number| response(x, *number).and_then(|next| sender.send(next)).is_err());
            state::set("sent before the client left", &sent.unwrap_or(0).to_le_bytes(), None)?;
        }
        "respond" => sender.respond(response(x, 7)?)?,
        "fail through the sender" => sender.fail(Error::not_found("nothing here")),
        "finish with nothing" => sender.finish(),
        _ => return Err(Error::invalid_argument("the parameter 'do' is not known")),
    }
    Ok(Outcome::Deferred)
}

fn asked(request: &Request) -> String {
    match request.parameter("do") {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    }
}

fn key(request: &Request) -> String {
    match request.parameter("key") {
        Some(Value::Text(text)) => text,
        _ => "count".to_owned(),
    }
}

fn count(request: &Request) -> i32 {
    request.parameter("count").and_then(|count| count.as_i64()).map_or(3, |count| count as i32)
}

fn response(x: &[i32], more: i32) -> Result<Response, Error> {
    let y: Vec<i32> = x.iter().map(|value| value + more).collect();
    let columns = if x.is_empty() { 0 } else { 1 };
    Ok(Response::new().output("Y", Tensor::from_elements(&[x.len() as u64, columns], &y)?))
}

/// What the request says of itself, as parameters of the answer.
fn describe(request: &Request, answer: Response) -> Response {
    let sequence = request.sequence().map_or_else(String::new, |sequence| match sequence.id {
        SequenceId::Number(number) => format!("{number} {} {}", sequence.start, sequence.end),
        SequenceId::Text(text) => format!("{text} {} {}", sequence.start, sequence.end),
    });
    let model = model();
    answer
        .parameter("id", request.id())
        .parameter("rows", request.rows() as i64)
        .parameter("priority", request.priority() as i64)
        .parameter("sequence", sequence)
        .parameter("instance", instance_name())
        .parameter(
            "model",
            format!(
                "{}:{} batches of {}, decoupled {}",
                model.name, model.version, model.max_batch_size, model.decoupled
            ),
        )
}

export_model!(Batcher);
