//! How a type becomes a plugin that executes batches.
//!
//! One guest stands for one instance of the model. A panic is written to the server's log with its place and then ends the
//! guest: the requests of its batch that have no answer yet fail, the next batch starts in a fresh one.

use std::{cell::RefCell, thread::LocalKey};

use crate::{
    Error, Request, Response,
    bindings::{
        model::exports::nereid::plugin::model as exported,
        nereid::plugin::{serving, types},
    },
    export::report_panics,
};

/// A model of whole batches: per request an answer, an error, many responses, an answer later, or another execution.
pub trait Model: Sized {
    /// Makes the model when its guest starts: read settings and build tables here.
    ///
    /// # Errors
    /// The settings make no sense. While the model is loaded, the load fails with this text.
    fn new() -> Result<Self, Error>;

    /// Answers the requests of one batch: one outcome for each, in their order. A model whose configuration does not batch
    /// gets one request at a time.
    fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome>;

    /// Puts things in order before the guest is given up, once all requests have ended.
    fn finalise(self) {}
}

/// What comes of one request.
#[derive(Debug)]
pub enum Outcome {
    /// The answer: the only one, or the last of a decoupled model.
    Answer(Response),
    /// The request failed; the others of the batch do not notice.
    Failure(Error),
    /// The answer goes through the request's [`Sender`], now or in a later batch.
    Deferred,
    /// The request is executed again in a later batch, with these outputs as its state: for models with
    /// `sequence_batching { iterative_sequence: true }`.
    Reschedule(Response),
}

/// Sends the responses of one request. May be kept while later batches are executed; dropped before the last response it
/// answers the client with an error, unless the outcome of its batch says otherwise.
#[derive(Debug)]
pub struct Sender {
    handle: serving::Sender,
}

/// Makes a type that implements [`Model`] the plugin that this crate builds. Once per crate, which must have
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export_model {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::{model::exports::nereid::plugin::model as exported, nereid::plugin as host};

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Exported;

            impl exported::Guest for Exported {
                fn initialise() -> ::std::result::Result<(), host::types::Error> {
                    $crate::initialise_exported(&INSTANCE)
                }

                fn execute(batch: ::std::vec::Vec<host::serving::Request>) -> ::std::vec::Vec<exported::Outcome> {
                    $crate::execute_exported(&INSTANCE, batch)
                }

                fn finalise() {
                    $crate::finalise_exported(&INSTANCE);
                }
            }

    $crate::bindings::model::export_model_bindings!(Exported with_types_in $crate::bindings::model);
        };
    };
}

/// What [`export_model!`] calls first.
#[doc(hidden)]
pub fn initialise_exported<T: Model>(slot: &'static LocalKey<RefCell<Option<T>>>) -> Result<(), types::Error> {
    report_panics();
    slot.set(Some(T::new()?));
    Ok(())
}

/// What [`export_model!`] calls per batch.
#[doc(hidden)]
pub fn execute_exported<T: Model>(
    slot: &'static LocalKey<RefCell<Option<T>>>,
    batch: Vec<serving::Request>,
) -> Vec<exported::Outcome> {
    let requests = batch.into_iter().map(Request::new).collect();
    slot.with_borrow_mut(|model| match model {
        Some(model) => model.execute(requests).into_iter().map(exported::Outcome::from).collect(),
        // The host counts outcomes, and says of this plugin that there are none.
        None => Vec::new(),
    })
}

/// What [`export_model!`] calls last.
#[doc(hidden)]
pub fn finalise_exported<T: Model>(slot: &'static LocalKey<RefCell<Option<T>>>) {
    if let Some(model) = slot.take() {
        model.finalise();
    }
}

// === impl Outcome ===

impl From<Result<Response, Error>> for Outcome {
    fn from(result: Result<Response, Error>) -> Self {
        result.map_or_else(Self::Failure, Self::Answer)
    }
}

impl From<Outcome> for exported::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answer(response) => Self::Answer(response.into()),
            Outcome::Failure(error) => Self::Failure(error.into()),
            Outcome::Deferred => Self::Deferred,
            Outcome::Reschedule(states) => Self::Reschedule(serving::Response::from(states).outputs),
        }
    }
}

// === impl Sender ===

impl Sender {
    pub(crate) fn new(handle: serving::Sender) -> Self {
        Self { handle }
    }

    pub(crate) fn handle(&self) -> &serving::Sender {
        &self.handle
    }

    /// Sends a response that others follow. Waits while the client has not read the earlier ones.
    ///
    /// # Errors
    /// `Cancelled` when the client is gone, so that nothing more needs to be sent; or what does not fit the model.
    pub fn send(&self, response: Response) -> Result<(), Error> {
        Ok(self.handle.send(response.into(), false)?)
    }

    /// Sends the last response, or the only one.
    ///
    /// # Errors
    /// As of [`Sender::send`].
    pub fn respond(self, response: Response) -> Result<(), Error> {
        Ok(self.handle.send(response.into(), true)?)
    }

    /// Ends the request with an error.
    pub fn fail(self, error: Error) {
        self.handle.fail(&error.into());
    }

    /// Ends the request without another response.
    pub fn finish(self) {
        self.handle.finish();
    }

    /// Whether the client is gone, or the request has ended in another way.
    pub fn is_cancelled(&self) -> bool {
        self.handle.cancelled()
    }
}
