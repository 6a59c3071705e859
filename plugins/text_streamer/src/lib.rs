//! Goes on with a text, token by token, as the text that it learned from would.
//!
//! Input `text_input`: BYTES `[1]`. Output `text_output`: BYTES `[1]`, a response per token; the last response has no more text than
//! was held back, and says in its parameter `finish_reason` why it is the last: `length`, `stop` or `time`. Parameters of a request are in
//! [`wishes`].
//!
//! It learns when it is loaded, from `/data/corpus.txt`, in a folder of the model's version directory that it is granted. A client that
//! leaves is noticed at the next token, and a slow one is waited for: nothing is made ahead of what is read.
//!
//! Settings: `order` (3), how many tokens hang together; `max_tokens` (64), of a request that does not say; `tokens_max` (4,096), of
//! any request. An instance tells one text at a time.

mod ending;
mod ngram;
mod tokens;
mod wishes;

use std::time::Duration;

use nereid_sdk::{
    Error, ErrorCode, Model, Outcome, Request, Response, Sender, Tensor, export_model, files, log, metrics::Counter,
    setting_or,
};

use crate::{
    ending::{Ending, Shown},
    ngram::Ngrams,
    wishes::Wishes,
};

const CORPUS: &str = "/data/corpus.txt";
/// A text that is not finished by then is ended by the plugin instead of by the host.
const TIME_TO_FINISH: Duration = Duration::from_millis(500);

struct TextStreamer {
    ngrams: Ngrams,
    max_tokens: u64,
    tokens_max: u64,
    tokens: Counter,
    cancelled: Counter,
}

/// Why a text ended.
#[derive(Clone, Copy)]
enum Finish {
    Length,
    Stop,
    Time,
}

// === impl TextStreamer ===

impl Model for TextStreamer {
    fn new() -> Result<Self, Error> {
        let text = String::from_utf8(files::read(CORPUS)?)
            .map_err(|error| Error::internal(format_args!("{CORPUS} is not UTF-8: {error}")))?;
        let ngrams =
            Ngrams::learn(&text, setting_or("order", 3)?).map_err(|error| error.prefixed(CORPUS.to_owned() + ": "))?;
        log::info!("learned {} tokens from {} bytes", ngrams.vocabulary(), text.len());
        Ok(Self {
            ngrams,
            max_tokens: setting_or("max_tokens", 64)?,
            tokens_max: setting_or("tokens_max", 4096)?,
            tokens: Counter::open("streamer_tokens_total", "Tokens that were told", &[])?,
            cancelled: Counter::open("streamer_cancelled_total", "Texts whose client left before the end", &[])?,
        })
    }

    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
        batch.iter().map(|request| self.answer(request).unwrap_or_else(Outcome::Failure)).collect()
    }
}

impl TextStreamer {
    fn answer(&self, request: &Request) -> Result<Outcome, Error> {
        let wishes = Wishes::new(self.max_tokens).changed_by(&request.parameters(), self.tokens_max)?;
        let prompt = request.inputs()?.tensor("text_input")?.texts()?.concat();
        let sender = request.sender()?;
        match self.tell(request, &prompt, wishes, &sender) {
            Ok(last) => sender.respond(last).or_else(|error| self.note_leaving(error))?,
            Err(error) => self.note_leaving(error)?,
        }
        Ok(Outcome::Deferred)
    }

    /// Sends what comes, and gives the last response.
    fn tell(&self, request: &Request, prompt: &str, wishes: Wishes, sender: &Sender) -> Result<Response, Error> {
        let Wishes { max_tokens, temperature, seed, stop, stream } = wishes;
        let mut ending = Ending::at(stop);
        let mut text = String::new();
        let mut finish = Finish::Length;
        for token in self.ngrams.go_on(prompt, temperature, seed).take(usize::try_from(max_tokens)?) {
            if sender.is_cancelled() {
                return Err(Error::cancelled("the client left"));
            }
            if request.remaining() < TIME_TO_FINISH {
                finish = Finish::Time;
                break;
            }
            self.tokens.add(1.0)?;
            match ending.push(token) {
                Shown::End(last) => return response(&(text + &last), Some(Finish::Stop)),
                Shown::More(more) if stream && !more.is_empty() => sender.send(response(&more, None)?)?,
                Shown::More(more) => text.push_str(&more),
            }
        }
        response(&(text + &ending.rest()), Some(finish))
    }

    /// A client that left is no failure; anything else is.
    fn note_leaving(&self, error: Error) -> Result<(), Error> {
        if error.code() != ErrorCode::Cancelled {
            return Err(error);
        }
        self.cancelled.add(1.0)
    }
}

fn response(text: &str, finish: Option<Finish>) -> Result<Response, Error> {
    let response = Response::new().output("text_output", Tensor::from_blobs(&[1], &[text])?);
    Ok(match finish {
        None => response,
        Some(Finish::Length) => response.parameter("finish_reason", "length"),
        Some(Finish::Stop) => response.parameter("finish_reason", "stop"),
        Some(Finish::Time) => response.parameter("finish_reason", "time"),
    })
}

export_model!(TextStreamer);
