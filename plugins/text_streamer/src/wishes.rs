//! What a request says about the text that it wants. Nothing here asks the host.

use nereid_sdk::{Error, Value};

/// Above it every token is as likely as any other.
const TEMPERATURE_MAX: f64 = 10.0;

/// How to go on, and how far.
#[derive(Clone, Debug, PartialEq)]
pub struct Wishes {
    /// At most so many tokens.
    pub max_tokens: u64,
    /// 0 for the commonest token, 1 for each as often as it was seen.
    pub temperature: f64,
    /// Another one draws another text.
    pub seed: u64,
    /// The text ends before this word.
    pub stop: Option<String>,
    /// Whether each token is a response; otherwise all are one.
    pub stream: bool,
}

// === impl Wishes ===

impl Wishes {
    /// What nobody changed.
    pub fn new(max_tokens: u64) -> Self {
        Self { max_tokens, temperature: 0.8, seed: 0, stop: None, stream: true }
    }

    /// With what the parameters of a request say; those that are not known are somebody else's. No request has more
    /// tokens than `tokens_max`.
    ///
    /// # Errors
    /// A parameter is of another kind, or out of its range.
    pub fn changed_by(mut self, parameters: &[(String, Value)], tokens_max: u64) -> Result<Self, Error> {
        for (name, value) in parameters {
            let wrong = |expected: &str| {
                Error::invalid_argument(format_args!("parameter '{name}' is {value}, expected {expected}"))
            };
            let whole = || value.as_i64().and_then(|number| u64::try_from(number).ok());
            match name.as_str() {
                "max_tokens" => self.max_tokens = whole().ok_or_else(|| wrong("a number of tokens"))?,
                "seed" => self.seed = whole().ok_or_else(|| wrong("a whole number from 0 up"))?,
                "temperature" => {
                    let valid = value.as_f64().filter(|number| (0.0..=TEMPERATURE_MAX).contains(number));
                    self.temperature = valid.ok_or_else(|| wrong("a number from 0 to 10"))?;
                }
                "stop" => self.stop = Some(value.as_text().ok_or_else(|| wrong("a text"))?.to_owned()),
                "stream" => self.stream = value.as_bool().ok_or_else(|| wrong("true or false"))?,
                _ => {}
            }
        }
        self.max_tokens = self.max_tokens.min(tokens_max);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(name: &str, value: impl Into<Value>) -> Result<Wishes, Error> {
        Wishes::new(64).changed_by(&[(name.to_owned(), value.into())], 100)
    }

    #[test]
    fn a_request_says_what_it_wants() {
        assert_eq!(changed("temperature", 1_i64).unwrap(), Wishes { temperature: 1.0, ..Wishes::new(64) });
        assert_eq!(changed("stop", ".").unwrap().stop.as_deref(), Some("."));
        assert_eq!(changed("max_tokens", 7_i64).unwrap().max_tokens, 7);
        assert_eq!(changed("max_tokens", 1_000_i64).unwrap().max_tokens, 100);
        assert_eq!(changed("top_k", 5_i64).unwrap(), Wishes::new(64));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let message = |name, value: Value| changed(name, value).unwrap_err().message().to_owned();
        assert_eq!(
            message("temperature", (-1.0).into()),
            "parameter 'temperature' is -1, expected a number from 0 to 10"
        );
        assert!(message("max_tokens", (-1_i64).into()).contains("expected a number of tokens"));
        assert!(message("stop", true.into()).contains("expected a text"));
        assert!(message("stream", "no".into()).contains("expected true or false"));
    }
}
