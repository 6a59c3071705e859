//! `control`: a plugin loads and unloads the models that it was granted, as an operator does.
//!
//! What may take seconds is waited for on another thread; a guest whose time is over leaves a load to end alone.

use std::sync::Arc;

use nereid_inference::{InferError, LoadOverrides, ModelControl, ModelState};

use crate::{
    bindings::nereid::plugin::{
        control::{Host, ModelEntry, ModelState as State},
        types::Error,
    },
    convert,
    failure::Stop,
    state::PluginState,
};

// === impl PluginState ===

impl PluginState {
    /// The repository, when the guest may do that with the model.
    fn controlled(&self, what: &str, model: &str) -> Result<Arc<dyn ModelControl>, InferError> {
        self.spec.grants.model_control.check(what, "model_control", model)?;
        if *model == *self.spec.model.name {
            return Err(InferError::invalid_argument(format!("it may not {what} its own model '{model}'")));
        }
        self.spec.control.get()
    }

    async fn wait_for_control<R: Send + 'static>(
        &mut self,
        import: &'static str,
        control: Result<Arc<dyn ModelControl>, InferError>,
        work: impl FnOnce(&dyn ModelControl) -> Result<R, InferError> + Send + 'static,
    ) -> wasmtime::Result<Result<R, Error>> {
        self.enter(import)?;
        if self.call.serving.is_none() {
            return Err(Stop::NotServing.into());
        }
        let done = match control {
            Ok(control) => self.wait_elsewhere(move || work(control.as_ref())).await?,
            Err(error) => Err(error),
        };
        Ok(done.map_err(convert::error))
    }
}

impl Host for PluginState {
    async fn index(&mut self) -> wasmtime::Result<Result<Vec<ModelEntry>, Error>> {
        let grant = self.spec.grants.model_control.clone();
        let control = self.spec.control.get();
        let index = move |control: &dyn ModelControl| {
            let granted = control.index().into_iter().filter(|entry| grant.contains(&entry.name));
            let entries = granted.map(|entry| ModelEntry {
                name: entry.name,
                version: entry.version,
                state: entry.state.map(state),
                reason: entry.reason,
            });
            Ok(entries.collect())
        };
        self.wait_for_control("control.index", control, index).await
    }

    async fn load(&mut self, model: String, config: Option<String>) -> wasmtime::Result<Result<(), Error>> {
        let control = self.controlled("load", &model);
        let requested_by = format!("plugin of {}", self.spec.model.name);
        let overrides = LoadOverrides { config, requested_by, ..LoadOverrides::default() };
        self.wait_for_control("control.load", control, move |control| control.load(&model, overrides)).await
    }

    async fn unload(&mut self, model: String, dependents: bool) -> wasmtime::Result<Result<(), Error>> {
        let control = self.controlled("unload", &model);
        self.wait_for_control("control.unload", control, move |control| control.unload(&model, dependents)).await
    }
}

fn state(state: ModelState) -> State {
    match state {
        ModelState::Ready => State::Ready,
        ModelState::Unavailable => State::Unavailable,
        ModelState::Loading => State::Loading,
        ModelState::Unloading => State::Unloading,
    }
}
