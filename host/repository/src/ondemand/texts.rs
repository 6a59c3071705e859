//! Why a request for a model that is not loaded is refused, in words that say what to do.

use nereid_inference::InferError;

use crate::ondemand::{
    OnDemand,
    policy::{Lack, Refusal, Slot},
};

/// Named models in one text.
const NAMES_MAX: usize = 8;

// === impl OnDemand ===

impl OnDemand {
    pub(super) fn explain(&self, slot: Slot, refusal: &Refusal) -> InferError {
        let name = self.title(slot);
        let settings = self.policy.lock().settings();
        match refusal {
            Refusal::TooManyWait => InferError::unavailable(format!(
                "model '{name}' is not loaded, and {} requests wait for models already (--limit ondemand-requests)",
                settings.waiters_max
            )),
            Refusal::Failed { reason, left } => InferError::unavailable(format!(
                "model '{name}' failed to load and is not tried again for {} s (--limit ondemand-retry): {reason}",
                left.as_secs() + 1
            )),
            Refusal::TooLong(lack) => {
                let waited = settings.wait_max.as_secs_f64();
                let room = match lack {
                    Lack::Nothing => String::new(),
                    Lack::Models => self.occupants(settings.models_max),
                    Lack::Memory(reason) => format!("; the models that could make room are in use: {reason}"),
                };
                let text = format!("model '{name}' was not loaded within {waited} s (--limit ondemand-wait){room}");
                InferError::unavailable(text)
            }
            Refusal::ReloadTooLong(reason) => InferError::unavailable(format!(
                "model '{name}' was not reloaded within {} s (--limit ondemand-wait) and serves as before; the models \
                 that could make room are in use: {reason}",
                settings.wait_max.as_secs_f64()
            )),
            Refusal::TooLarge { models } => InferError::unavailable(format!(
                "model '{name}' is made of {models} models, and {} may be loaded at one time (--limit ondemand-models)",
                settings.models_max
            )),
        }
    }

    /// What the requests of a load that failed are told.
    pub(super) fn failure(&self, slot: Slot, reason: &InferError) -> InferError {
        InferError::unavailable(format!("model '{}' cannot be loaded: {reason}", self.title(slot)))
            .with_source(reason.clone())
    }

    fn occupants(&self, models_max: usize) -> String {
        let slots = self.policy.lock().in_the_way();
        let mut names: Vec<String> = slots.iter().take(NAMES_MAX).map(|slot| self.title(*slot)).collect();
        if slots.len() > NAMES_MAX {
            names.push("…".to_owned());
        }
        format!("; the {models_max} models allowed (--limit ondemand-models) are in use: {}", names.join(", "))
    }

    fn title(&self, slot: Slot) -> String {
        self.catalogue.lock().ids().get(slot).map(ToString::to_string).unwrap_or_default()
    }
}
