//! `types`: values only, no functions.

use crate::{bindings::nereid::plugin::types, state::PluginState};

impl types::Host for PluginState {}
