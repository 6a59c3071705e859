//! What stands in front of every text, because the model was trained so: `query: `, `passage: `. Nothing here asks the host.

use nereid_sdk::{Error, Value};

/// Settings that begin so name a prompt.
const PREFIX: &str = "prompt.";

/// The prompt of requests that name none.
const DEFAULT: &str = "default";

/// Prompts by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    named: Vec<(String, String)>,
}

/// `prompt` in front of each text.
pub fn prefixed(prompt: &str, texts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    texts.into_iter().map(|text| [prompt.as_bytes(), &text].concat()).collect()
}

// === impl Prompts ===

impl Prompts {
    /// Those that the `parameters` of `config.pbtxt` have, spaces included.
    pub fn new(settings: Vec<(String, String)>) -> Self {
        let named = settings.into_iter().filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?.to_owned(), text)));
        Self { named: named.collect() }
    }

    /// The prompt that a request's parameter `prompt` names; empty where there is none.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn pick(&self, parameter: Option<&Value>) -> Result<&str, Error> {
        let Some(name) = parameter else { return Ok(self.find(DEFAULT).unwrap_or_default()) };
        name.as_text().and_then(|name| self.find(name)).ok_or_else(|| self.unknown(name))
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    fn unknown(&self, found: &Value) -> Error {
        let names: Vec<&str> = self.named.iter().map(|(name, _)| name.as_str()).collect();
        Error::invalid_argument(match names.is_empty() {
            true => format!("parameter 'prompt' is {found}, and this model has no prompts: leave it out"),
            false => format!("parameter 'prompt' is {found}, expected one of: {}", names.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(entries: &[(&str, &str)]) -> Prompts {
        Prompts::new(entries.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn prompts_are_found_by_name() {
        let prompts = prompts(&[("length", "8"), ("prompt.passage", "passage: "), ("prompt.query", "query: ")]);
        assert_eq!(prompts.pick(Some(&Value::from("query"))), Ok("query: "));
        assert_eq!(prompts.pick(None), Ok(""));
        let error = prompts.pick(Some(&Value::from("length"))).unwrap_err();
        assert_eq!(error.message(), "parameter 'prompt' is 'length', expected one of: passage, query");
        assert!(prompts.pick(Some(&Value::from(1_i64))).unwrap_err().message().contains("is 1, expected one of"));
    }

    #[test]
    fn a_default_stands_in_front_of_what_names_none() {
        let prompts = prompts(&[("prompt.default", "query: "), ("prompt.none", "")]);
        assert_eq!(prompts.pick(None), Ok("query: "));
        assert_eq!(prompts.pick(Some(&Value::from("none"))), Ok(""));
    }

    #[test]
    fn a_model_without_prompts_says_so() {
        let error = prompts(&[]).pick(Some(&Value::from("query"))).unwrap_err();
        assert!(error.message().contains("this model has no prompts"), "{error}");
    }

    #[test]
    fn texts_stay_what_they_were_behind_it() {
        assert_eq!(prefixed("q: ", vec![b"a".to_vec(), vec![0xff]]), [b"q: a".to_vec(), b"q: \xff".to_vec()]);
    }
}
