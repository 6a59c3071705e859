//! Asks one of several models that answer the same question; the next one when it fails; and remembers answers for a while.
//!
//! Inputs and outputs are those of the models, whatever they are: the configuration names them. Which route a request takes is
//! in [`plan`]. A model that is not ready, fails, refuses for want of room or does not answer within `timeout_ms` (default 1,000) is
//! passed over for the next of its route; the last one has all the time that is left. After a timeout the others do not wait for
//! that model again before `pause_ms` (default 1,000) are over.
//!
//! Answers of the first choice are kept in the model's state for `cache_seconds` (default 60, 0 keeps none), by content: inputs,
//! wanted outputs, parameters. An answer of a model further behind is not kept, so that it does not outlive the trouble. Questions and
//! answers beyond `cache_entry_kib` (default 256) are not kept either. A model that is reloaded does not empty the cache.
//!
//! Of a request's parameters, `route` chooses, `user` decides a split instead of the content, and `cache: false` neither looks up nor
//! keeps; the rest goes to the model. The answer's parameters say `model`, `route`, `cached` and `fallbacks`.
//! Refused: requests of sequences, whose answers depend on more than they say.

mod kept;
mod plan;

use std::time::Duration;

use nereid_sdk::{
    Error, ErrorCode, Inputs, Request, Response, Tensor, Transform, Value, export_transform, infer, log,
    metrics::Counter, setting_or, settings, state,
};

use crate::{
    kept::{Part, Question},
    plan::{Caller, Plan, Route, reason_to_go_on},
};

struct ModelRouter {
    plan: Plan,
    timeout: Duration,
    pause: Duration,
    cache: Cache,
}

/// Answers in the model's state.
struct Cache {
    lifetime: Duration,
    entry_bytes_max: u64,
    hits: Counter,
    misses: Counter,
    full: Counter,
}

/// What the parameters of a request say, and what of them is for the model.
struct Wishes {
    route: Option<String>,
    user: Option<String>,
    cache: bool,
    passed_on: Vec<(String, Value)>,
}

/// A request, taken apart.
struct Asked<'a> {
    request: &'a Request,
    inputs: &'a Inputs,
    wishes: Wishes,
}

/// An answer, and how many models were passed over before it.
struct Answered {
    model: String,
    fallbacks: usize,
    response: Response,
}

// === impl ModelRouter ===

impl Transform for ModelRouter {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            plan: Plan::parse(&settings())?,
            timeout: Duration::from_millis(setting_or("timeout_ms", 1000)?),
            pause: Duration::from_millis(setting_or("pause_ms", 1000)?),
            cache: Cache::new()?,
        })
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        if request.sequence().is_some() {
            return Err(Error::unsupported(
                "a router answers requests that stand alone, and this one is of a sequence",
            ));
        }
        let asked = Asked { request, inputs: &inputs, wishes: Wishes::of(request)? };
        let digest = self.digest(&asked)?;
        let tenant = request.tenant();
        let by = asked.wishes.user.as_deref().map(str::as_bytes).or(digest.as_ref().map(<[u8; 32]>::as_slice));
        let ticket = kept::ticket(by.unwrap_or_default());
        let caller = Caller { asked: asked.wishes.route.as_deref(), tenant: tenant.as_deref(), ticket };
        let route = self.plan.choose(caller)?;
        let key = digest.filter(|_| self.cache.is_used(&asked.wishes)).map(|digest| kept::key(route.models, &digest));
        if let Some(response) = key.as_ref().map(|key| self.cache.look_up(key)).transpose()?.flatten() {
            let model = route.models.first().map_or("", String::as_str);
            return Ok(describe(response, route, model).parameter("cached", true).parameter("fallbacks", 0_i64));
        }
        let answered = self.ask(&asked, route)?;
        if let Some(key) = key.filter(|_| answered.fallbacks == 0) {
            self.cache.keep(&key, &answered.response)?;
        }
        let response = describe(answered.response, route, &answered.model);
        Ok(response.parameter("cached", false).parameter("fallbacks", answered.fallbacks as i64))
    }
}

impl ModelRouter {
    /// The content of a request, where somebody needs it and it is not too large to look at.
    fn digest(&self, asked: &Asked<'_>) -> Result<Option<[u8; 32]>, Error> {
        let is_drawn = self.plan.splits() && asked.wishes.user.is_none();
        let bytes: u64 = asked.inputs.iter().map(|(_, tensor)| tensor.byte_size()).sum();
        if bytes > self.cache.entry_bytes_max || !(is_drawn || self.cache.is_used(&asked.wishes)) {
            return Ok(None);
        }
        let inputs = asked.inputs.iter().map(|(name, tensor)| part(name, tensor)).collect::<Result<_, _>>()?;
        let (wanted, parameters) = (asked.request.wanted_outputs(), asked.wishes.passed_on.clone());
        Ok(Some(Question { inputs, wanted, parameters }.digest()))
    }

    /// Asks the models of a route, one after the other.
    fn ask(&self, asked: &Asked<'_>, route: Route<'_>) -> Result<Answered, Error> {
        for (place, model) in route.models.iter().enumerate() {
            let is_last = place + 1 == route.models.len();
            if !is_last && state::get(&pause_key(model))?.is_some() {
                count_fallback(model, "paused")?;
                continue;
            }
            // Half of what is left at most, so that there is time for the next one.
            let left = asked.request.remaining();
            match asked.ask(model, if is_last { left } else { self.timeout.min(left / 2) }) {
                Ok(response) => {
                    let labels = [("route", route.name), ("answered_by", model.as_str())];
                    Counter::open("router_answers_total", "Answers by route and model", &labels)?.add(1.0)?;
                    return Ok(Answered { model: model.clone(), fallbacks: place, response });
                }
                Err(error) if is_last => return Err(error.prefixed(format_args!("route '{}': ", route.name))),
                Err(error) => self.pass_over(model, error)?,
            }
        }
        Err(Error::internal(format_args!("route '{}' has no models", route.name)))
    }

    /// Notes that a model failed; gives the error back where the next one would not do better.
    fn pass_over(&self, model: &str, error: Error) -> Result<(), Error> {
        let Some(reason) = reason_to_go_on(error.code()) else { return Err(error) };
        log::warn!("{model} is passed over ({reason}): {error}");
        if error.code() == ErrorCode::DeadlineExceeded && !self.pause.is_zero() {
            // Where answers have taken all the room, everybody waits for this model again.
            let noted = state::set(&pause_key(model), b"", Some(self.pause));
            noted.map_or_else(|error| log::warn!("{model} cannot be left alone: {error}"), |_| ());
        }
        count_fallback(model, reason)
    }
}

// === impl Asked ===

impl Asked<'_> {
    /// Puts the question to a model.
    fn ask(&self, model: &str, timeout: Duration) -> Result<Response, Error> {
        let wanted = self.request.wanted_outputs();
        let call = infer(model).outputs(wanted.iter().map(String::as_str)).timeout(timeout);
        let call = self.inputs.iter().fold(call, |call, (name, tensor)| call.input(name, tensor));
        self.wishes.passed_on.iter().fold(call, |call, (name, value)| call.parameter(name, value.clone())).call()
    }
}

// === impl Wishes ===

impl Wishes {
    fn of(request: &Request) -> Result<Self, Error> {
        let mut wishes = Self { route: None, user: None, cache: true, passed_on: Vec::new() };
        for (name, value) in request.parameters() {
            let wrong = |kind: &str| Error::invalid_argument(format_args!("parameter '{name}' must be {kind}"));
            match name.as_str() {
                "route" => wishes.route = Some(value.as_text().ok_or_else(|| wrong("a text"))?.to_owned()),
                "user" => wishes.user = Some(value.as_text().ok_or_else(|| wrong("a text"))?.to_owned()),
                "cache" => wishes.cache = value.as_bool().ok_or_else(|| wrong("true or false"))?,
                _ => wishes.passed_on.push((name, value)),
            }
        }
        Ok(wishes)
    }
}

// === impl Cache ===

impl Cache {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            lifetime: Duration::from_secs(setting_or("cache_seconds", 60)?),
            entry_bytes_max: setting_or::<u64>("cache_entry_kib", 256)?.saturating_mul(1024),
            hits: Counter::open("router_cache_hits_total", "Answers that were remembered", &[])?,
            misses: Counter::open("router_cache_misses_total", "Questions that were looked up and not found", &[])?,
            full: Counter::open("router_cache_full_total", "Answers for which there was no room", &[])?,
        })
    }

    fn is_used(&self, wishes: &Wishes) -> bool {
        wishes.cache && !self.lifetime.is_zero()
    }

    fn look_up(&self, key: &str) -> Result<Option<Response>, Error> {
        let found = state::get(key)?.and_then(|entry| kept::decode(&entry.value));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.add(1.0)?;
        found.map(response).transpose()
    }

    fn keep(&self, key: &str, response: &Response) -> Result<(), Error> {
        let bytes: u64 = response.outputs().map(|(_, tensor)| tensor.byte_size()).sum();
        if bytes > self.entry_bytes_max {
            return Ok(());
        }
        let parts: Vec<Part> = response.outputs().map(|(name, tensor)| part(name, tensor)).collect::<Result<_, _>>()?;
        match state::set(key, &kept::encode(&parts), Some(self.lifetime)) {
            // Nobody's answer fails because it cannot be remembered.
            Err(error) if error.code() == ErrorCode::ResourceExhausted => self.full.add(1.0),
            set => set.map(|_| ()),
        }
    }
}

fn describe(response: Response, route: Route<'_>, model: &str) -> Response {
    response.parameter("model", model).parameter("route", route.name)
}

fn count_fallback(model: &str, reason: &str) -> Result<(), Error> {
    let labels = [("from", model), ("reason", reason)];
    Counter::open("router_fallbacks_total", "Models that were passed over", &labels)?.add(1.0)
}

fn pause_key(model: &str) -> String {
    format!("pause/{model}")
}

fn part(name: &str, tensor: &Tensor) -> Result<Part, Error> {
    let (data_type, shape) = (tensor.data_type(), tensor.shape());
    Ok(Part { name: name.to_owned(), data_type, shape, bytes: tensor.bytes()? })
}

fn response(parts: Vec<Part>) -> Result<Response, Error> {
    parts.into_iter().try_fold(Response::new(), |response, part| {
        Ok(response.output(&part.name, Tensor::from_bytes(part.data_type, &part.shape, &part.bytes)?))
    })
}

export_transform!(ModelRouter);
