//! What a plugin is asked: the request, and its input tensors.

use std::time::Duration;

use crate::{
    Error, Sender, Sequence, Tensor, Value,
    bindings::nereid::plugin::{serving, tensors::Named, tracing},
    named,
    trace::Span,
};

/// One request, for the length of the call.
#[derive(Debug)]
pub struct Request {
    handle: serving::Request,
}

/// The tensors that came with the request, under the names in `config.pbtxt`.
#[derive(Debug)]
pub struct Inputs {
    tensors: Vec<(String, Tensor)>,
}

// === impl Request ===

impl Request {
    pub(crate) fn new(handle: serving::Request) -> Self {
        Self { handle }
    }

    /// The client's own name for the request; empty when it gave none.
    pub fn id(&self) -> String {
        self.handle.id()
    }

    /// The inputs. `Transform::run` is given them besides; in `Model::execute` this is where they are.
    ///
    /// # Errors
    /// Too many open handles.
    pub fn inputs(&self) -> Result<Inputs, Error> {
        Ok(Inputs::new(self.handle.inputs()?))
    }

    /// The rows of the request: the first dimension of its tensors where the model batches, otherwise 1.
    pub fn rows(&self) -> u64 {
        self.handle.rows()
    }

    /// Where the request stands in its sequence, if it belongs to one.
    pub fn sequence(&self) -> Option<Sequence> {
        self.handle.sequence()
    }

    /// The tenant on whose account the request goes; `None` when on nobody's.
    pub fn tenant(&self) -> Option<String> {
        self.handle.tenant()
    }

    /// The priority that the client gave: 1 is the most urgent, 0 the model's default.
    pub fn priority(&self) -> u64 {
        self.handle.priority()
    }

    /// Begins a span of this request, of a batch for example; see [`crate::trace`].
    pub fn span(&self, name: &str) -> Span {
        Span::new(tracing::Span::begin_for(&self.handle, name))
    }

    /// Takes the request's sender, once. Only in `Model::execute`, whose outcome must then be `Deferred` or `Reschedule`.
    ///
    /// # Errors
    /// It was taken already, or this is not `Model::execute`.
    pub fn sender(&self) -> Result<Sender, Error> {
        Ok(Sender::new(self.handle.sender()?))
    }

    /// All parameters of the request, without those that the protocol reserves.
    pub fn parameters(&self) -> Vec<(String, Value)> {
        self.handle.parameters().into_iter().map(|parameter| (parameter.name, parameter.value)).collect()
    }

    /// The parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<Value> {
        let parameters = self.handle.parameters();
        parameters.into_iter().rev().find(|parameter| parameter.name == name).map(|parameter| parameter.value)
    }

    /// The names of the outputs that the client wants; empty when it wants all.
    pub fn wanted_outputs(&self) -> Vec<String> {
        self.handle.wanted_outputs()
    }

    /// Whether the client wants the output called `name`: worth asking before an expensive one is computed.
    pub fn wants(&self, name: &str) -> bool {
        self.handle.wants(name)
    }

    /// How long until the host ends the call. Ask in long loops, to answer with an error of your own in time.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.handle.remaining_ms().into())
    }

    /// Whether the client is gone, so that nobody will read the answer.
    pub fn is_cancelled(&self) -> bool {
        self.handle.cancelled()
    }
}

// === impl Inputs ===

impl Inputs {
    pub(crate) fn new(named: Vec<Named>) -> Self {
        Self { tensors: named::from_host(named) }
    }

    /// The input called `name`.
    ///
    /// # Errors
    /// There is none: it is optional and was left out, or the name differs from `config.pbtxt`.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, Error> {
        self.optional(name).ok_or_else(|| self.missing(name))
    }

    /// The input called `name`, if the client sent it.
    pub fn optional(&self, name: &str) -> Option<&Tensor> {
        named::find(&self.tensors, name)
    }

    /// The input called `name` for keeps: to hand it on as an output.
    ///
    /// # Errors
    /// As of [`Inputs::tensor`].
    pub fn take(&mut self, name: &str) -> Result<Tensor, Error> {
        named::take(&mut self.tensors, name).ok_or_else(|| self.missing(name))
    }

    /// Names and tensors in the order in which the host gave them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    fn missing(&self, name: &str) -> Error {
        named::missing(Error::invalid_argument, "input", name, &self.tensors)
    }
}
