//! `--limit`, and the command that shows all limits.

use clap::{ArgAction, Args};

use crate::{arguments::ArgumentError, limits::Limits};

/// What the operator changes.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Limits")]
pub struct LimitArguments {
    /// Change a limit: NAME=VALUE, with KiB, MiB or GiB behind bytes and ms, s, min or h behind times; may be given
    /// several times. 'nereid limits' lists the names and the defaults
    #[arg(long = "limit", value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub settings: Vec<String>,
}

// === impl LimitArguments ===

impl LimitArguments {
    /// The limits as changed.
    ///
    /// # Errors
    /// A setting that means nothing.
    pub fn limits(&self) -> Result<Limits, ArgumentError> {
        Limits::with(&self.settings).map_err(ArgumentError::new)
    }
}
