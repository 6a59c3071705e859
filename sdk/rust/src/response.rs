//! An answer: of a plugin to its caller, or of another model to the plugin.

use crate::{
    Error, Tensor, Value,
    bindings::nereid::plugin::{serving, types::Parameter},
    named,
};

/// Output tensors under their names, and parameters beside them.
#[derive(Debug, Default)]
pub struct Response {
    outputs: Vec<(String, Tensor)>,
    parameters: Vec<(String, Value)>,
}

// === impl Response ===

impl Response {
    /// An answer without outputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same answer with one more output. Name, type and shape must be those in `config.pbtxt`; the host checks.
    #[must_use]
    pub fn output(mut self, name: &str, tensor: Tensor) -> Self {
        self.outputs.push((name.to_owned(), tensor));
        self
    }

    /// The same answer with one more parameter for the client.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.parameters.push((name.to_owned(), value.into()));
        self
    }

    /// The output called `name`.
    ///
    /// # Errors
    /// The answer has none of that name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, Error> {
        named::find(&self.outputs, name).ok_or_else(|| self.missing(name))
    }

    /// The output called `name` for keeps.
    ///
    /// # Errors
    /// As of [`Response::tensor`].
    pub fn take(&mut self, name: &str) -> Result<Tensor, Error> {
        named::take(&mut self.outputs, name).ok_or_else(|| self.missing(name))
    }

    /// Names and tensors in the order in which the model gave them: for what passes on the answers of any model.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.outputs.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Names and values of the parameters.
    pub fn parameters(&self) -> &[(String, Value)] {
        &self.parameters
    }

    fn missing(&self, name: &str) -> Error {
        named::missing(Error::internal, "output", name, &self.outputs)
    }
}

impl From<serving::Response> for Response {
    fn from(response: serving::Response) -> Self {
        let parameters = response.parameters.into_iter().map(|parameter| (parameter.name, parameter.value)).collect();
        Self { outputs: named::from_host(response.outputs), parameters }
    }
}

impl From<Response> for serving::Response {
    fn from(response: Response) -> Self {
        let parameters = response.parameters.into_iter().map(|(name, value)| Parameter { name, value }).collect();
        Self { outputs: named::into_host(response.outputs), parameters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_the_way_to_the_host_and_back() {
        let response = Response::new().parameter("model", "digits").parameter("rows", 2_i64);
        let back = Response::from(serving::Response::from(response));
        let [(first, _), (second, value)] = back.parameters() else { panic!("two parameters") };
        assert_eq!((first.as_str(), second.as_str(), value.as_i64()), ("model", "rows", Some(2)));
    }

    #[test]
    fn an_output_that_a_model_did_not_give_is_not_the_clients_fault() {
        let error = Response::new().tensor("logits").unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::Internal);
        assert_eq!(error.message(), "output 'logits' is missing; there are: none");
    }
}
