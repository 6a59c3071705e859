//! Calls of models that are awaited, in an [`AsyncModel`](crate::AsyncModel).
//!
//! ```no_run
//! # use nereid_sdk::{Error, Tensor, infer, join_all};
//! # async fn both(tensor: &Tensor) -> Result<(), Error> {
//! let answer = infer("digits_cnn").input("image", tensor).await?;
//! let answers = join_all(["small", "large"].map(|model| infer(model).input("image", tensor).into_future())).await;
//! # Ok(())
//! # }
//! ```
//!
//! A future that is dropped before it is done cancels its call.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use crate::{
    Error, Response,
    bindings::async_model::nereid::plugin_async::{inference as host, sending},
    infer::Call,
    model::Sender,
};

/// The responses of a call of a model that may give many. Dropping it cancels the call.
#[derive(Debug)]
pub struct Answers {
    handle: host::Pending,
}

// === impl Call ===

/// Calls a model that gives exactly one response.
impl IntoFuture for Call {
    type Output = Result<Response, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { Ok(host::infer(self.into_host()).await?.into()) })
    }
}

impl Call {
    /// Starts the call of a model that may give many responses.
    ///
    /// # Errors
    /// A limit on calls under way was reached, or there is no such model. Errors of the call itself come from [`Answers::next`].
    pub fn answers(self) -> Result<Answers, Error> {
        Ok(Answers { handle: host::submit(self.into_host())? })
    }
}

// === impl Answers ===

impl Answers {
    /// The next response; `None` after the last one. A future of this that is dropped loses no response.
    ///
    /// # Errors
    /// The model's own error, or why it could not be called.
    pub async fn next(&mut self) -> Result<Option<Response>, Error> {
        Ok(self.handle.receive().await?.map(Response::from))
    }
}

// === impl Sender ===

impl Sender {
    /// Sends a response that others follow, and awaits that the client has room for it, so that others are served meanwhile.
    ///
    /// # Errors
    /// As of [`Sender::send`].
    pub async fn deliver(&self, response: Response) -> Result<(), Error> {
        Ok(sending::send(self.handle(), response.into(), false).await?)
    }
}
