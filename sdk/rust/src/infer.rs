//! Calls to the other models of the server, through the same queues, batchers and limits as a client's requests.
//!
//! ```no_run
//! # use nereid_sdk::{Error, Tensor, infer};
//! # fn logits(tensor: &Tensor) -> Result<Vec<f32>, Error> {
//! let answer = infer("digits_cnn").input("image", tensor).outputs(["logits"]).call()?;
//! # answer.tensor("logits")?.as_f32()
//! # }
//! ```
//!
//! While a plugin waits, no thread of the server does, and the wait does not count as the plugin's computing time. It
//! does count against the deadline of the call that the plugin answers.

use std::time::Duration;

use crate::{
    Error, Response, Sequence, Tensor, Value,
    bindings::nereid::plugin::{inference as host, tensors::Named, types::Parameter},
};

/// A call being put together. Ends with [`Call::call`] or [`Call::submit`].
#[derive(Debug)]
#[must_use = "nothing is sent before `call` or `submit`"]
pub struct Call {
    call: host::Call,
}

/// A call under way. Dropping it cancels the call.
#[derive(Debug)]
pub struct Pending {
    handle: host::Pending,
}

/// Starts putting together a call of `model`.
pub fn infer(model: &str) -> Call {
    let call = host::Call {
        model: model.to_owned(),
        version: None,
        inputs: Vec::new(),
        wanted_outputs: Vec::new(),
        parameters: Vec::new(),
        timeout_ms: None,
        id: None,
        priority: None,
        sequence: None,
    };
    Call { call }
}

/// Whether the highest version of `model` that is ready, or the given one, would accept a call now.
pub fn model_ready(model: &str, version: Option<u64>) -> bool {
    host::model_ready(model, version)
}

/// Waits until one of the calls has something to receive, and gives its index; `None` when `timeout` ran out first.
///
/// # Errors
/// There are no calls, or the time of the plugin's own call ran out.
pub fn wait_any(calls: &[Pending], timeout: Option<Duration>) -> Result<Option<usize>, Error> {
    let handles: Vec<&host::Pending> = calls.iter().map(|pending| &pending.handle).collect();
    let index = host::wait_any(&handles, timeout.map(milliseconds))?;
    Ok(index.map(|index| index as usize))
}

// === impl Call ===

impl Call {
    /// A certain version instead of the highest one that is ready.
    pub fn version(mut self, version: u64) -> Self {
        self.call.version = Some(version);
        self
    }

    /// Adds an input. The tensor is shared, not copied, and stays usable.
    pub fn input(mut self, name: &str, tensor: &Tensor) -> Self {
        self.call.inputs.push(Named { name: name.to_owned(), data: tensor.share().into_handle() });
        self
    }

    /// Names the outputs that are wanted; without this all are.
    pub fn outputs<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.call.wanted_outputs.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Adds a parameter for the model.
    pub fn parameter(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.call.parameters.push(Parameter { name: name.to_owned(), value: value.into() });
        self
    }

    /// How long to wait for the answer; without this as long as the plugin's own call may take, and never longer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.timeout_ms = Some(milliseconds(timeout));
        self
    }

    /// The name of the request; without this that of the request that the plugin answers.
    pub fn id(mut self, id: &str) -> Self {
        self.call.id = Some(id.to_owned());
        self
    }

    /// 1 is the most urgent, 0 the model's default; without this the priority of the request that the plugin answers.
    pub fn priority(mut self, priority: u64) -> Self {
        self.call.priority = Some(priority);
        self
    }

    /// Where the call stands in a sequence of the model that is called.
    pub fn sequence(mut self, sequence: Sequence) -> Self {
        self.call.sequence = Some(sequence);
        self
    }

    /// Calls a model that gives exactly one response, and waits for it.
    ///
    /// # Errors
    /// The model's own error, or why it could not be called.
    pub fn call(self) -> Result<Response, Error> {
        Ok(host::infer(self.call)?.into())
    }

    /// What the host is asked.
    pub(crate) fn into_host(self) -> host::Call {
        self.call
    }

    /// Starts the call without waiting, so that several models, or several calls of one, can work at the same time.
    ///
    /// # Errors
    /// A limit on calls under way was reached. Errors of the call itself come from [`Pending::receive`].
    pub fn submit(self) -> Result<Pending, Error> {
        Ok(Pending { handle: host::submit(self.call)? })
    }
}

// === impl Pending ===

impl Pending {
    /// Waits for the next response. `None` after the last one: most models give one, decoupled models any number.
    ///
    /// # Errors
    /// As of [`Call::call`].
    pub fn receive(&self) -> Result<Option<Response>, Error> {
        Ok(self.handle.receive()?.map(Response::from))
    }

    /// Cancels the call, as dropping it does: [`Pending::receive`] gives `None` from now on.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Whether [`Pending::receive`] would return at once.
    pub fn is_ready(&self) -> bool {
        self.handle.ready()
    }
}

/// Whole milliseconds, rounded up so that a short wait is still a wait; what does not fit is 49 days.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_to_milliseconds() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
    }
}
