//! Command-line words, taken one by one. What nobody took is an error, so that a misspelt flag is never ignored.

use std::str::FromStr;

use crate::failure::Failure;

pub(crate) struct Arguments {
    words: Vec<String>,
}

// === impl Arguments ===

impl Arguments {
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        Self { words: words.collect() }
    }

    /// Takes `--name`; true if it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() != before
    }

    /// Takes the first `--name VALUE` or `--name=VALUE`.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let with_equals = format!("{name}=");
        let Some(at) = self.words.iter().position(|word| word == name || word.starts_with(&with_equals)) else {
            return Ok(None);
        };
        let word = self.words.remove(at);
        let text = match word.strip_prefix(&with_equals) {
            Some(text) => text.to_owned(),
            None if at < self.words.len() => self.words.remove(at),
            None => return Err(Failure::new(format!("{name} needs a value"))),
        };
        text.parse().map(Some).map_err(|_| Failure::new(format!("{name} cannot be '{text}'")))
    }

    /// Takes every `--name VALUE`.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let mut values = Vec::new();
        while let Some(value) = self.value(name)? {
            values.push(value);
        }
        Ok(values)
    }

    /// All the words left, in their order.
    pub(crate) fn rest(self) -> Vec<String> {
        self.words
    }

    /// Refuses words that no one asked for.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(Failure::new(format!("unknown argument '{word}'; see `cargo xtask help`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        Arguments::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn takes_flags_and_both_forms_of_values() {
        let mut arguments = arguments("--once --port-base 9000 --only=a --only b");
        assert!(arguments.flag("--once"));
        assert_eq!(arguments.value::<u16>("--port-base").unwrap(), Some(9000));
        assert_eq!(arguments.values("--only").unwrap(), ["a", "b"]);
        arguments.finish().unwrap();
    }

    #[test]
    fn refuses_what_nobody_took_and_values_that_do_not_parse() {
        assert!(arguments("--ones").finish().unwrap_err().to_string().contains("'--ones'"));
        assert!(arguments("--port-base x").value::<u16>("--port-base").unwrap_err().to_string().contains("'x'"));
        assert!(
            arguments("--port-base").value::<u16>("--port-base").unwrap_err().to_string().contains("needs a value")
        );
    }
}
