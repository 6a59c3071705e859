//! Protobuf text format, as far as a `config.pbtxt` may use it.
//!
//! Own code, because `prost-reflect` refuses `input [ { … } ]` without a colon, which most Triton configurations use,
//! and keeps the places of its errors to itself. Accepted is what the C++ parser accepts: `#` comments, `<…>` for
//! `{…}`, `,` or `;` after a field, adjacent strings, lists in brackets, enums by number.
//! Refused beyond that: the same map key twice (the C++ parser drops one of them without a word).

mod lexer;
mod literals;
mod parser;
mod suggest;
mod values;

use nereid_inference::ModelConfig;

use crate::{ConfigError, error::Problem, from_proto, schema};

/// Understands the text of a configuration file; `origin` is the file's name for error messages.
///
/// # Errors
/// The first mistake, with its place and what would be right.
pub fn parse_text(origin: &str, text: &str) -> Result<ModelConfig, ConfigError> {
    let located = |problem: Problem| ConfigError::Text(problem.locate(origin, text));
    let message = parser::parse(text, schema::model_config()).map_err(located)?;
    let config = message.transcode_to().map_err(|error| located(Problem::new(0..0, error.to_string())))?;
    from_proto(config)
}

#[cfg(test)]
mod tests;
