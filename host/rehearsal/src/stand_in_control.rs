//! The repository that a plugin controls while it is tried: models that a case lists with their states, or those of a server that
//! runs. A server's models are loaded and unloaded in earnest.

use std::{collections::BTreeMap, sync::Arc};

use nereid_client::RemoteModels;
use nereid_inference::{IndexEntry, InferError, LoadOverrides, ModelControl, ModelState};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::case::Controlled;

/// Whom the plugin asks for models.
pub(crate) struct StandInControl {
    /// As the case's steps have left them; `None` for a case that lists none.
    listed: Mutex<Option<BTreeMap<String, Controlled>>>,
    server: Option<Arc<RemoteModels>>,
    runtime: Handle,
}

// === impl StandInControl ===

impl StandInControl {
    pub(crate) fn new(server: Option<Arc<RemoteModels>>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { listed: Mutex::default(), server, runtime })
    }

    /// From now on the models are what this case says.
    pub(crate) fn play(&self, models: Option<&BTreeMap<String, Controlled>>) {
        *self.listed.lock() = models.cloned();
    }

    /// Does what the case's models make of it; `None` when it lists none.
    fn of_case(&self, model: &str, wanted: ModelState) -> Option<Result<(), InferError>> {
        let mut listed = self.listed.lock();
        let model_state = match listed.as_mut()?.get_mut(model) {
            Some(Controlled::State(state)) => state,
            Some(Controlled::Fails(text)) => return Some(Err(InferError::invalid_argument(text.clone()))),
            None => {
                let text = format!("model '{model}' is not among the models of 'control' in the case");
                return Some(Err(InferError::not_found(text)));
            }
        };
        *model_state = wanted;
        Some(Ok(()))
    }

    fn server(&self) -> Result<&RemoteModels, InferError> {
        self.server.as_deref().ok_or_else(|| {
            InferError::unavailable(
                "the case has no 'control' and there is no server: list models with their states in the case, for example \
                 \"control\": {\"digits\": \"READY\"}, or give a server with --server",
            )
        })
    }
}

impl ModelControl for StandInControl {
    fn index(&self) -> Vec<IndexEntry> {
        if let Some(listed) = &*self.listed.lock() {
            return listed.iter().map(|(name, model)| entry(name, model)).collect();
        }
        let index = self.server().and_then(|server| {
            let index = self.runtime.block_on(server.index());
            index.map_err(|error| InferError::unavailable(error.to_string()))
        });
        index.unwrap_or_else(|error| {
            tracing::warn!("the plugin finds no models: {error}");
            Vec::new()
        })
    }

    fn load(&self, name: &str, overrides: LoadOverrides) -> Result<(), InferError> {
        if let Some(done) = self.of_case(name, ModelState::Ready) {
            return done;
        }
        let loaded = self.runtime.block_on(self.server()?.load(name, overrides.config));
        loaded.map_err(|error| InferError::invalid_argument(error.to_string()))
    }

    fn unload(&self, name: &str, unload_dependents: bool) -> Result<(), InferError> {
        if let Some(done) = self.of_case(name, ModelState::Unavailable) {
            return done;
        }
        let unloaded = self.runtime.block_on(self.server()?.unload(name, unload_dependents));
        unloaded.map_err(|error| InferError::invalid_argument(error.to_string()))
    }
}

fn entry(name: &str, model: &Controlled) -> IndexEntry {
    let (state, reason) = match model {
        Controlled::State(ModelState::Unavailable) => (ModelState::Unavailable, "unloaded".to_owned()),
        Controlled::State(state) => (*state, String::new()),
        Controlled::Fails(text) => (ModelState::Unavailable, text.clone()),
    };
    IndexEntry { name: name.to_owned(), version: Some(1), state: Some(state), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(control: &StandInControl) -> Vec<(String, ModelState)> {
        control.index().into_iter().map(|entry| (entry.name, entry.state.unwrap())).collect()
    }

    #[tokio::test]
    async fn models_are_in_the_states_that_the_plugin_has_brought_them_into() {
        let control = StandInControl::new(None, Handle::current());
        let listed = BTreeMap::from([
            ("big".to_owned(), Controlled::State(ModelState::Unavailable)),
            ("broken".to_owned(), Controlled::Fails("no room".to_owned())),
        ]);
        control.play(Some(&listed));
        control.load("big", LoadOverrides::default()).unwrap();
        assert_eq!(control.load("broken", LoadOverrides::default()).unwrap_err().message(), "no room");
        let error = control.load("other", LoadOverrides::default()).unwrap_err();
        assert_eq!(error.message(), "model 'other' is not among the models of 'control' in the case");
        let broken = ("broken".to_owned(), ModelState::Unavailable);
        assert_eq!(states(&control), [("big".to_owned(), ModelState::Ready), broken.clone()]);
        control.unload("big", false).unwrap();
        assert_eq!(states(&control), [("big".to_owned(), ModelState::Unavailable), broken]);
        control.play(Some(&listed));
        assert_eq!(control.index()[0].reason, "unloaded", "the next case begins anew");
    }

    #[tokio::test]
    async fn without_models_and_without_a_server_the_text_says_how_to_give_them() {
        let control = StandInControl::new(None, Handle::current());
        let error = control.load("big", LoadOverrides::default()).unwrap_err();
        assert!(error.message().contains("\"control\": {\"digits\": \"READY\"}, or give a server"), "{error}");
        assert!(control.index().is_empty());
    }
}
