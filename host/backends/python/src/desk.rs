//! What a model asks while it runs: responses through senders, other models, metrics, model control, log lines.
//!
//! One thread reads what the process says and answers at once what needs no waiting; the rest runs on the runtime. One
//! thread writes the answers, so that a process that does not read holds nobody up. Calls under way are counted, and
//! refused beyond the limit.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use nereid_inference::{InferError, ResponseStream};
use nereid_telemetry::CustomSeries;
use nereid_tensor::Buffer;
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    channel::{Channel, ChannelError},
    context::ModelContext,
    log_lines,
    messages::{Reply, ResponseRow, Said},
    payload::Outgoing,
    slots::Slots,
};

/// A check that takes longer says that the model is not ready.
const READINESS_MAX: Duration = Duration::from_secs(10);

/// A model is asked no more often.
const READINESS_INTERVAL: Duration = Duration::from_millis(100);

/// The second connection of one process.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) model: Arc<ModelContext>,
    pub(crate) slots: Arc<Slots>,
    replies: mpsc::Sender<(Reply, Outgoing)>,
    channel: Channel,
    /// Accepted and not answered.
    calls: Arc<AtomicUsize>,
    /// With the word for their kind; a metric's number is its place.
    pub(crate) series: Mutex<Vec<(&'static str, Arc<CustomSeries>)>>,
    /// Streams of other models' responses; away while the next one is waited for.
    pub(crate) streams: Mutex<HashMap<u64, Option<ResponseStream>>>,
    stream_numbers: AtomicU64,
    readiness: Mutex<Readiness>,
}

/// What the model said of itself.
#[derive(Debug, Default)]
struct Readiness {
    /// Whether it has an opinion.
    is_asked: bool,
    /// The call under way.
    asking: Option<Instant>,
    answered: Option<Instant>,
    /// Why it is not ready.
    refusal: Option<String>,
}

/// What is answered: a value, or why there is none.
pub(crate) type Answered = Result<Value, InferError>;

// === impl Desk ===

impl Desk {
    /// Opens the second connection; [`Desk::serve`] reads it.
    pub(crate) fn open(model: Arc<ModelContext>, slots: Arc<Slots>, channel: Channel) -> io::Result<Arc<Self>> {
        let (replies, written) = mpsc::channel::<(Reply, Outgoing)>();
        let calls = Arc::new(AtomicUsize::new(0));
        let (writer, counted) = (channel.try_clone()?, calls.clone());
        let write = move || {
            while let Ok((reply, outgoing)) = written.recv() {
                let is_answer = reply.op == "reply";
                if writer.send(&reply, &outgoing, None).is_err() {
                    break;
                }
                if is_answer {
                    counted.fetch_sub(1, Relaxed);
                }
            }
        };
        thread::Builder::new().name("nereid-py-write".to_owned()).spawn(write)?;
        Ok(Arc::new(Self {
            model,
            slots,
            replies,
            channel,
            calls,
            series: Mutex::default(),
            streams: Mutex::default(),
            stream_numbers: AtomicU64::new(0),
            readiness: Mutex::default(),
        }))
    }

    /// Reads until the connection ends.
    ///
    /// # Errors
    /// The process said what none of ours says.
    pub(crate) fn serve(self: &Arc<Self>, mut channel: Channel) -> Result<(), ChannelError> {
        loop {
            let received = match channel.receive(None) {
                Ok(received) => received,
                Err(ChannelError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            };
            let said = serde_json::from_slice(&received.header);
            let said = said.map_err(|error| ChannelError::Malformed(error.to_string()))?;
            self.hear(said, received.payload);
        }
    }

    /// Ends the connection; calls of other models under way are left.
    pub(crate) fn close(&self) {
        self.channel.close();
        self.streams.lock().clear();
    }

    fn hear(self: &Arc<Self>, said: Said, payload: Buffer) {
        match said {
            Said::Log { level, text } => self.log(&level, &text),
            Said::Drop { slot } => self.dropped(slot),
            Said::Close { stream } => drop(self.streams.lock().remove(&stream)),
            Said::Readiness { ready, error, .. } => self.heard_readiness(ready, error),
            said => {
                let call = said.call();
                let limit = self.model.limits.calls;
                if self.calls.fetch_add(1, Relaxed) >= limit {
                    let text = format!("{limit} calls are under way from this process, the limit (python-calls)");
                    return self.answer(call, Err(InferError::resource_exhausted(text)));
                }
                self.attend(call, said, payload);
            }
        }
    }

    fn attend(self: &Arc<Self>, call: u64, said: Said, payload: Buffer) {
        let desk = self.clone();
        let Some(runtime) = &self.model.runtime else {
            return self.answer(call, Err(InferError::unavailable("models are only checked here")));
        };
        match said {
            Said::Send { slot, r#final, response, .. } => {
                runtime.spawn(async move {
                    let sent = desk.send_response(slot, r#final, response, payload).await;
                    desk.answer(call, sent);
                });
            }
            Said::Cancelled { slot, .. } => self.answer(call, Ok(self.slots.is_cancelled(slot).into())),
            Said::MetricOpen { name, description, kind, labels, buckets, .. } => {
                self.answer(call, self.open_metric((name, description, kind), labels, buckets));
            }
            Said::Metric { metric, verb, value, .. } => self.answer(call, self.metric(metric, &verb, value)),
            Said::Infer(asked) => {
                runtime.spawn(async move { desk.infer(*asked, payload).await });
            }
            Said::Next { stream, .. } => {
                runtime.spawn(async move { desk.next(call, stream).await });
            }
            Said::ModelReady { model, version, .. } => self.answer(call, self.model_ready(&model, &version)),
            Said::Load { model, config, files, .. } => {
                runtime.spawn_blocking(move || desk.answer(call, desk.load(&model, config, files, &payload)));
            }
            Said::Unload { model, dependents, .. } => {
                runtime.spawn_blocking(move || desk.answer(call, desk.unload(&model, dependents)));
            }
            Said::Log { .. } | Said::Drop { .. } | Said::Close { .. } | Said::Readiness { .. } => {}
        }
    }

    /// Answers a call with a value.
    pub(crate) fn answer(&self, call: u64, answered: Answered) {
        let (value, error) = match answered {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error.message().to_owned())),
        };
        self.reply(Reply { call, value, error, ..Reply::default() }, Outgoing::default());
    }

    /// Answers a call.
    pub(crate) fn reply(&self, reply: Reply, outgoing: Outgoing) {
        // A writer that is gone has nobody to write to.
        let _ = self.replies.send((Reply { op: "reply", ..reply }, outgoing));
    }

    pub(crate) fn next_stream_number(&self) -> u64 {
        self.stream_numbers.fetch_add(1, Relaxed) + 1
    }

    // --- responses ---

    async fn send_response(&self, slot: u64, is_last: bool, row: Option<ResponseRow>, payload: Buffer) -> Answered {
        let gone = || InferError::invalid_argument("Unable to send response. Response sender has been closed.");
        let (mut sender, notes) = self.slots.borrow(slot).ok_or_else(gone)?;
        let wants = |name: &str| notes.wanted.is_empty() || notes.wanted.iter().any(|wanted| &**wanted == name);
        let response = row.map(|row| self.model.response(row, &payload, wants));
        match (response, is_last) {
            (Some(response), true) => {
                self.slots.forget(slot);
                sender.respond(response);
            }
            (None, true) => {
                self.slots.forget(slot);
                sender.finish();
            }
            (Some(response), false) => {
                // Waits for a client that reads slowly; the model's thread waits with it.
                sender.send(response).await;
                self.slots.put_back(slot, sender);
            }
            (None, false) => self.slots.put_back(slot, sender),
        }
        Ok(Value::Null)
    }

    /// The model has no way left to answer.
    fn dropped(&self, slot: u64) {
        let Some(sender) = self.slots.close(slot) else { return };
        match self.model.config.is_decoupled() {
            true => sender.finish(),
            false => sender.respond(Err(InferError::internal(format!(
                "model '{}' dropped the request without a response",
                self.model.identity.name
            )))),
        }
    }

    // --- the log ---

    fn log(&self, level: &str, text: &str) {
        let (model, text) = (&self.model.identity, log_lines::on_one_line(text));
        match level {
            "error" => tracing::error!(target: "nereid::python", model = %model, "{text}"),
            "warning" => tracing::warn!(target: "nereid::python", model = %model, "{text}"),
            "info" => tracing::info!(target: "nereid::python", model = %model, "{text}"),
            _ => tracing::debug!(target: "nereid::python", model = %model, "{text}"),
        }
    }

    // --- readiness ---

    /// From now on the model may be asked whether it is ready, if it has an opinion.
    pub(crate) fn may_be_asked(&self, has_is_ready: bool) {
        self.readiness.lock().is_asked = has_is_ready;
        if has_is_ready {
            let _ = self.readiness(Instant::now());
        }
    }

    /// What the model said last; has it asked again. One question at a time, however many want to know.
    ///
    /// # Errors
    /// Why it is not ready.
    pub(crate) fn readiness(&self, now: Instant) -> Result<(), String> {
        let mut readiness = self.readiness.lock();
        if !readiness.is_asked {
            return Ok(());
        }
        if let Some(asking) = readiness.asking {
            if now.saturating_duration_since(asking) > READINESS_MAX {
                return Err(format!(": is_ready() has not answered for {} s", READINESS_MAX.as_secs()));
            }
        } else if readiness.answered.is_none_or(|at| now.saturating_duration_since(at) >= READINESS_INTERVAL) {
            readiness.asking = Some(now);
            let _ = self.replies.send((Reply { op: "is_ready", ..Reply::default() }, Outgoing::default()));
        }
        readiness.refusal.clone().map_or(Ok(()), Err)
    }

    fn heard_readiness(&self, is_ready: bool, error: String) {
        let mut readiness = self.readiness.lock();
        (readiness.asking, readiness.answered) = (None, Some(Instant::now()));
        readiness.refusal = match (is_ready, error.is_empty()) {
            (true, _) => None,
            (false, true) => Some(String::new()),
            (false, false) => Some(format!(": {}", log_lines::on_one_line(&error))),
        };
    }
}

// === impl Said ===

impl Said {
    /// The number that the answer carries.
    fn call(&self) -> u64 {
        match self {
            Self::Send { call, .. }
            | Self::Cancelled { call, .. }
            | Self::MetricOpen { call, .. }
            | Self::Metric { call, .. }
            | Self::Next { call, .. }
            | Self::Load { call, .. }
            | Self::Unload { call, .. }
            | Self::ModelReady { call, .. }
            | Self::Readiness { call, .. } => *call,
            Self::Infer(asked) => asked.call,
            Self::Log { .. } | Self::Drop { .. } | Self::Close { .. } => 0,
        }
    }
}
