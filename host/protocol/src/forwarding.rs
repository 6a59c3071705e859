//! Header forwarding: headers of a request that a pattern picks become text parameters of the request.
//!
//! Promises: the pattern meets any part of a header's name, whatever the case, unless it says `(?-i)` itself; names are
//! lower case, as HTTP/2 sends them and HTTP/1 is read. A header wins over a parameter of the same name in the body.
//! Refuses, in Triton's words, names that the protocol keeps for itself: a proxy that lets such a header through would
//! let clients set what the body may not.

use nereid_inference::{InferError, ParameterValue, Parameters};
use regex::{Regex, RegexBuilder};

/// Keys whose meaning is the protocol's.
const RESERVED: [&str; 7] =
    ["sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"];

/// Every key that starts so, too.
const RESERVED_PREFIX: &str = "triton_";

/// Which headers are forwarded.
#[derive(Clone, Debug)]
pub struct HeaderPattern(Regex);

// === impl HeaderPattern ===

impl HeaderPattern {
    /// Reads a regular expression; its syntax is RE2's.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        match RegexBuilder::new(pattern).case_insensitive(true).build() {
            Ok(regex) => Ok(Self(regex)),
            Err(regex::Error::Syntax(problem)) => Err(problem),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Adds the headers that the pattern picks to `parameters`.
    ///
    /// # Errors
    /// `InvalidArgument` when it picks one that is reserved.
    pub fn forward<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        parameters: &mut Parameters,
    ) -> Result<(), InferError> {
        for (name, value) in headers.into_iter().filter(|(name, _)| self.0.is_match(name)) {
            if RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX) {
                let text = format!("Header '{name}' is reserved for Triton usage and cannot be forwarded.");
                return Err(InferError::invalid_argument(text));
            }
            parameters.insert(name, ParameterValue::String(String::from_utf8_lossy(value).into_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forwards `headers` by `pattern`, shows the parameters as `name=value`.
    fn forwarded(pattern: &str, headers: &[(&str, &str)]) -> Result<Vec<String>, InferError> {
        let mut parameters = Parameters::default();
        parameters.insert("my_header", ParameterValue::Int(7));
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        HeaderPattern::parse(pattern).unwrap().forward(headers, &mut parameters)?;
        let shown = parameters.iter().map(|(name, value)| match value {
            ParameterValue::String(text) => format!("{name}={text}"),
            other => format!("{name}={other:?}"),
        });
        Ok(shown.collect())
    }

    #[track_caller]
    fn check(pattern: &str, headers: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(forwarded(pattern, headers).unwrap(), expected, "{pattern}");
    }

    #[test]
    fn a_pattern_meets_any_part_of_a_name_in_any_case() {
        let headers = [("x-tenant", "a"), ("tenant-id", "b"), ("host", "c")];
        check("TENANT", &headers, &["my_header=Int(7)", "x-tenant=a", "tenant-id=b"]);
        check("^tenant.*", &headers, &["my_header=Int(7)", "tenant-id=b"]);
        check("(?-i)TENANT", &headers, &["my_header=Int(7)"]);
        check("nothing", &headers, &["my_header=Int(7)"]);
    }

    #[test]
    fn a_header_wins_over_a_parameter_of_the_body() {
        check("my_header", &[("my_header", "8")], &["my_header=8"]);
    }

    #[test]
    fn reserved_names_are_refused_when_the_pattern_picks_them() {
        for name in RESERVED.into_iter().chain(["triton_anything"]) {
            let error = forwarded(".*", &[(name, "1")]).unwrap_err();
            let expected = format!("Header '{name}' is reserved for Triton usage and cannot be forwarded.");
            assert_eq!(error.message(), expected);
            assert!(forwarded("^x", &[(name, "1")]).is_ok());
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_made_one() {
        let mut parameters = Parameters::default();
        let headers = [("x", &b"caf\xe9"[..])];
        HeaderPattern::parse("x").unwrap().forward(headers, &mut parameters).unwrap();
        assert_eq!(parameters.get("x"), Some(&ParameterValue::String("caf\u{fffd}".into())));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_with_the_place() {
        let problem = HeaderPattern::parse("x-(").unwrap_err();
        assert!(problem.contains("unclosed group"), "{problem}");
    }
}
