//! One line about what is wrong with the command line, and what would be right.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::arguments::unserved;

/// The line. It names the flag as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArgumentError(String);

// === impl ArgumentError ===

impl ArgumentError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn of(error: &clap::Error) -> Self {
        let argument = context(error, ContextKind::InvalidArg).unwrap_or_default();
        let text = match error.kind() {
            ErrorKind::UnknownArgument => unknown_argument(error, &argument),
            ErrorKind::InvalidSubcommand => {
                let command = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
                let hint = suggestion(error, ContextKind::SuggestedSubcommand);
                let within = self::command(error).unwrap_or_else(|| "nereid".to_owned());
                format!("unknown command '{command}'{hint}; '{within} --help' lists the commands")
            }
            ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                "no command given: try 'nereid serve --model-repository=DIR', or 'nereid --help'".to_owned()
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => invalid_value(error, &argument),
            ErrorKind::MissingRequiredArgument => {
                let command = command(error).unwrap_or_else(|| "nereid".to_owned());
                format!("{argument} is missing; '{command} --help' shows how to call it")
            }
            _ => first_line(error),
        };
        Self(text)
    }
}

fn unknown_argument(error: &clap::Error, argument: &str) -> String {
    if let Some(reason) = unserved::reason(argument) {
        return format!("{argument} is a flag of tritonserver that is not served yet: {reason}");
    }
    let command = command(error);
    if !argument.starts_with('-') && command.is_some() {
        return format!("'{argument}' is one argument too many");
    }
    if !argument.starts_with('-') {
        return format!("'{argument}' stands alone: values belong to flags, for example --model-repository={argument}");
    }
    let hint = suggestion(error, ContextKind::SuggestedArg);
    let command = command.unwrap_or_else(|| "nereid serve".to_owned());
    format!("unknown flag '{argument}'{hint}; '{command} --help' lists the flags")
}

fn invalid_value(error: &clap::Error, argument: &str) -> String {
    let flag = argument.split_whitespace().next().unwrap_or(argument);
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    if value.is_empty() {
        let command = command(error).unwrap_or_else(|| "nereid serve".to_owned());
        return format!("{flag} needs a value; '{command} --help' says which");
    }
    match std::error::Error::source(error) {
        Some(reason) => format!("{flag}={value}: {reason}"),
        None => {
            let possible = context(error, ContextKind::ValidValue).unwrap_or_default();
            format!("{flag}={value}: expected one of {possible}")
        }
    }
}

fn suggestion(error: &clap::Error, kind: ContextKind) -> String {
    context(error, kind).map(|similar| format!(" (did you mean '{similar}'?)")).unwrap_or_default()
}

/// The words up to the command whose flags are wrong, where that is one of `nereid plugin`.
fn command(error: &clap::Error) -> Option<String> {
    let usage = context(error, ContextKind::Usage)?;
    let words = usage.strip_prefix("Usage:")?.split_whitespace();
    let words: Vec<&str> = words.take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase())).collect();
    words.starts_with(&["nereid", "plugin"]).then(|| words.join(" "))
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or("the command line cannot be understood");
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
