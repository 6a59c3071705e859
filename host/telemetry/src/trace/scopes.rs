//! Who has set what: the command line, the server as a whole, single models; and what is in effect from that.
//!
//! A model has what was set for it, otherwise what was set for the server, otherwise what the command line said.

use std::collections::BTreeMap;

use nereid_inference::{TraceChange, TraceLevel};

use super::setting::Values;

/// What was set at run time. A value that was not set is inherited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Specified {
    level: Option<TraceLevel>,
    rate: Option<u32>,
    count: Option<i32>,
    log_frequency: Option<u32>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scopes {
    pub(crate) from_command_line: Values,
    pub(crate) server: Specified,
    pub(crate) models: BTreeMap<String, Specified>,
}

// === impl Specified ===

impl Specified {
    fn changed(self, change: &TraceChange) -> Self {
        Self {
            level: change.level.applied(self.level),
            rate: change.rate.applied(self.rate),
            count: change.count.applied(self.count),
            log_frequency: change.log_frequency.applied(self.log_frequency),
        }
    }

    fn over(self, inherited: Values) -> Values {
        Values {
            level: self.level.unwrap_or(inherited.level),
            rate: self.rate.unwrap_or(inherited.rate),
            count: self.count.unwrap_or(inherited.count),
            log_frequency: self.log_frequency.unwrap_or(inherited.log_frequency),
        }
    }

    /// A count that was set is set to what is left of it.
    fn counted_down(self, values: Values) -> Self {
        Self { count: self.count.map(|_| values.count), ..self }
    }
}

// === impl Scopes ===

impl Scopes {
    pub(crate) fn new(from_command_line: Values) -> Self {
        Self { from_command_line, server: Specified::default(), models: BTreeMap::new() }
    }

    /// The scopes after a change. `current` gives the values in effect now, whose counts have gone down.
    ///
    /// A change for the server leaves models alone that have their own; what they inherit follows it.
    pub(crate) fn changed(
        &self,
        model: Option<&str>,
        change: &TraceChange,
        current: &dyn Fn(Option<&str>) -> Values,
    ) -> Self {
        let mut scopes = self.clone();
        scopes.server = scopes.server.counted_down(current(None));
        for (name, specified) in &mut scopes.models {
            *specified = specified.counted_down(current(Some(name)));
        }
        match model {
            None => scopes.server = scopes.server.changed(change),
            Some(model) => {
                let specified = scopes.models.remove(model).unwrap_or_default().changed(change);
                // Without anything of its own it is as any other model.
                if specified != Specified::default() {
                    scopes.models.insert(model.to_owned(), specified);
                }
            }
        }
        scopes
    }

    /// What the server as a whole traces with.
    pub(crate) fn server_values(&self) -> Values {
        self.server.over(self.from_command_line)
    }

    /// What a model with settings of its own traces with, when models without trace with `inherited`.
    pub(crate) fn model_values(&self, inherited: Values) -> impl Iterator<Item = (&str, Values)> {
        self.models.iter().map(move |(name, specified)| (name.as_str(), specified.over(inherited)))
    }
}
